// What the page alone knows: its view, its way to Python, and what it keeps beside the answers.
import type {
  DataChoice,
  DifferenceCheck,
  ErrorAnswer,
  FileEntry,
  LossProfile,
  LossSurface,
  MethodChoice,
  ModelChoice,
  NewtonBowl,
  RunAnswer,
  RunFacts,
  Setup,
  StartChoice,
  DerivationFacts,
} from "./messages";

/** What is looked at; it is in the page's address, and no message but "run" carries any of it. */
export interface View {
  step: number;
  active: number;
  row: number;
  param: number;
  pair: number[];
  notation: string;
  tab: string;
  scope: string;
  landscape: string;
  log: boolean;
  axes: number[] | null;
  bowl: boolean;
}

/** A method's run with the areas of its frames once they are decoded. */
export interface DecodedRun extends RunFacts {
  decoded?: Uint8Array<ArrayBuffer>[];
}

/** All that was computed about one run; surface: the last that was drawn. */
export interface KeptOfRun {
  derivations: Map<string, KeptDerivation>;
  pictures: Map<string, any>;
  asked: Set<string>;
  checks: Checks;
  surface: KeptSurface | null;
  quiz: object | null;
}

/** Both methods' runs, the set-up that made them, and what is kept of them. */
export interface Run extends RunAnswer {
  setup: Setup;
  runs: DecodedRun[];
  kept: KeptOfRun;
}

export type KeptDerivation = DerivationFacts;

/** stale: the picture of another step, which stands in until its own arrives. of: that picture. */
export interface KeptSurface extends LossSurface {
  savedAt?: number;
  stale?: boolean;
  of?: KeptSurface;
}

/** A run as a saved page holds it. */
export interface SavedState {
  setup: Setup;
  view: View;
  run: Omit<Run, "kept">;
  derivations: Record<string, KeptDerivation>;
  pictures: Record<string, KeptSurface & NewtonBowl & LossProfile>;
}

/** Where runs come from. live: whether anything may be asked, and not only what was recorded. gone: what the page says when nobody answers any more, and how to start again. */
export interface Source {
  live: boolean;
  url?: boolean;
  token?: string;
  gone: { what: string; again: string[] };
  ask(message: object): Promise<any>;
  open(file: File): Promise<{ file: FileEntry } & Partial<ErrorAnswer>>;
  watch(gone: () => void): void;
  close?(): void;
}

/** What a notebook's front end gives a widget. */
export interface WidgetModel {
  get(name: string): any;
  source?: Source | null;
  on?(event: string, callback: (message: any) => void): void;
  off?(event: string, callback: (message: any) => void): void;
  send?(content: object, callbacks?: undefined, buffers?: ArrayBuffer[]): void;
}

export type Checks = Map<string, DifferenceCheck>;

declare global {
  interface Window {
    newtron?: object;
  }
}
