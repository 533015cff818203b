// Text as base64 for addresses, and back.
export function base64(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");
}

export function text64(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return new TextDecoder().decode(Uint8Array.from(plain, (c) => c.charCodeAt(0)));
}

// Text that was compressed (gzip) and written as base64, as in a saved page.
export const unpacked = (text) =>
  new Response(new Blob([bytes64(text.trim())]).stream().pipeThrough(new DecompressionStream("gzip"))).text();

export function bytes64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
