// Builds the page into src/newtron/play/static: page.js (an ES module), page.css, fonts.css (KaTeX's fonts, apart, so
// that a page can be read before they are here) and the licences of what is inside them. The result is committed, so that users need no Node:  npm ci && npm run build
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync, mkdirSync } from "node:fs";

const out = process.argv[2] ?? "../src/newtron/play/static";
mkdirSync(out, { recursive: true });

// KaTeX names each font in three formats; every browser that runs the page reads WOFF2. Fonts that no formula of the
// page uses (calligraphic, Fraktur, sans serif, script, typewriter) are left out.
const unused = /Caligraphic|Fraktur|SansSerif|Script|Typewriter|Main-BoldItalic|Math-BoldItalic|AMS/;
const faces = /@font-face\s*\{[^}]*\}/g;
const katex = (part) => ({
  name: "katex",
  setup(builder) {
    builder.onLoad({ filter: /katex\.css$/ }, ({ path }) => ({
      contents: part(readFileSync(path, "utf8")),
      loader: "css",
    }));
  },
});
const styles = (css) => css.replace(faces, "");
const fonts = (css) =>
  css
    .match(faces)
    .filter((face) => !unused.test(face))
    .join("\n")
    .replace(/,\s*url\([^)]*\.(woff|ttf)\) format\("[^"]*"\)/g, "");
const shared = {
  bundle: true,
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};
await build({ ...shared, entryPoints: ["src/main.js"], format: "esm", outfile: `${out}/page.js` });
for (const [name, part] of [
  ["page", styles],
  ["fonts", fonts],
])
  await build({
    ...shared,
    entryPoints: [`src/${name}.css`],
    loader: { ".woff2": "dataurl" },
    plugins: [katex(part)],
    outfile: `${out}/${name}.css`,
  });
// What the build was made from: the tests compare it with web/, so that a forgotten build is seen without Node.
const hash = createHash("sha256");
for (const name of [
  "package-lock.json",
  "build.mjs",
  "fonts-license.txt",
  ...readdirSync("src", { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .sort(),
])
  hash.update(name).update(readFileSync(name));
writeFileSync(`${out}/sources.sha256`, `${hash.digest("hex")}\n`);
const inside = ["katex", "d3-contour", "d3-array", "internmap"];
const licences = inside.map((name) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return `${name} ${version} (${license})\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`;
});
// The package of KaTeX names only the licence of its code; that of its fonts stands inside the font files.
licences.splice(1, 0, `The fonts of katex (OFL-1.1)\n\n${readFileSync("fonts-license.txt", "utf8").trim()}\n`);
writeFileSync(`${out}/LICENSES.txt`, licences.join(`\n${"-".repeat(78)}\n\n`));
