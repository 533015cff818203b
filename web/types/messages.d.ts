// Made from newtron.play.messages by tests/support/typescript.py; a test holds the two together.

/** source: the key of an example or of a file. target, inputs: columns of a file. */
export interface DataChoice {
  source: string;
  target?: string;
  inputs?: string[];
}

/** hidden: widths of the hidden layers. scale: inputs and regression targets are standardised. hidden_intercepts: the penalty alpha is on these too. column_penalties: by how many times alpha the weights from each input are penalised, for as long as there are so many inputs. */
export interface ModelChoice {
  hidden?: number[];
  activation?: string;
  loss?: string | null;
  intercept?: boolean;
  scale?: boolean;
  alpha?: number;
  hidden_intercepts?: boolean;
  column_penalties?: number[];
}

/** The start of both methods: params, or random parameters from a seed. */
export interface StartChoice {
  seed?: number;
  params?: number[] | null;
}

/** rate, momentum: of gradient descent, rate null for a line search. damped: of Newton. damping: of Levenberg-Marquardt, null for automatic. */
export interface MethodChoice {
  solver: string;
  steps: number;
  rate?: number | null;
  momentum?: number;
  damped?: boolean;
  damping?: number | null;
}

/** All that a run is made from. */
export interface Setup {
  data: DataChoice;
  model: ModelChoice;
  start: StartChoice;
  methods: MethodChoice[];
}

/** The set-up that a session begins with; the rest are the defaults of the page. */
export interface FirstSetup {
  data: DataChoice;
  model: ModelChoice;
  methods?: MethodChoice[];
}

/** A fitted model, at whose parameters both methods can start. */
export interface FittedStart {
  data: DataChoice;
  model: ModelChoice;
  params: number[];
}

export interface ExampleEntry {
  key: string;
  title: string;
}

/** A file that is open: rows counts them, target is the column that is predicted unless another is chosen. */
export interface FileEntry {
  key: string;
  name: string;
  columns: string[];
  rows: number;
  target: string;
}

/** note: a sentence that the page shows as long as it is open. */
export interface HelloAnswer {
  examples: ExampleEntry[];
  files: FileEntry[];
  setup: FirstSetup | null;
  fitted: FittedStart | null;
  note: string;
}

export interface OpenAnswer {
  kind: string;
  file: FileEntry;
}

export interface ErrorAnswer {
  error: string;
}

/** tex, plain: its symbol in LaTeX and in the notation of explanations. layer: counted from 1. */
export interface ParameterEntry {
  tex: string;
  plain: string;
  weight: boolean;
  layer: number;
}

/** axes: the inputs that are drawn. windows: their ranges; range: that of the prediction. curve: the places of one input; grid: points along each of two inputs. held: a remark on the other inputs. */
export interface InputView {
  axes: number[];
  windows: [number, number][];
  range: [number, number];
  curve: (number | null)[] | null;
  grid: number | null;
  held: string;
}

/** All about data and model that no step changes. labels: targets, or places in classes. rows: numbers of the rows in their source. columns: those of a file that are used. dates: which inputs count days since 1970-01-01. */
export interface ProblemFacts {
  task: string;
  inputs: string[];
  target: string;
  classes: string[];
  X: (number | null)[][];
  labels: (number | null)[];
  rows: number[];
  notes: string[];
  columns: string[];
  dates: number[];
  widths: number[];
  activation: string;
  intercept: boolean;
  loss: string;
  linear: boolean;
  quadratic: boolean;
  convex: boolean;
  parameters: ParameterEntry[];
  view: InputView;
}

/** One method, step by step; the first entry is the start. */
export interface RunFacts {
  solver: string;
  params: (number | null)[][];
  value: (number | null)[];
  gradient: (number | null)[][];
  gradient_norm: (number | null)[];
  eigenvalues: (number | null)[][] | null;
  status: string;
  converged: boolean;
  sentence: string;
  frames: ((number | null)[] | (number | null)[][] | string)[];
}

/** windows: for each parameter the range in which the loss is drawn. */
export interface RunAnswer {
  problem: ProblemFacts;
  start: (number | null)[];
  runs: RunFacts[];
  windows: [number, number][];
}

/** Words, or a formula in LaTeX. */
export interface SentencePart {
  text?: string;
  tex?: string;
}

/** cut: only the first rows and columns are in values; shape is that of the whole. */
export interface MatrixFacts {
  values: (number | null)[][];
  shape: number[];
  cut: boolean;
}

export interface ColumnFacts {
  tex: string;
  text: string;
}

export interface LineFacts {
  tex: string;
  plain: string;
  text: string;
  name: string;
}

/** reused: positions of columns that an earlier step has computed. hidden: how many lines are left out. product: the last column is the product of the others. */
export interface TableFacts {
  columns: ColumnFacts[];
  lines: LineFacts[];
  values: (number | null)[][];
  texts: string[][];
  reused: number[];
  hidden: number;
  product: boolean;
}

/** notation: "lecture", "lab", or "" for both. */
export interface StepFacts {
  key: string;
  tex: string;
  numbers: string;
  sentence: SentencePart[];
  value: number | null;
  matrix: MatrixFacts | null;
  table: TableFacts | null;
  lines: string[];
  notation: string;
}

export interface SectionFacts {
  key: string;
  title: string;
  steps: StepFacts[];
}

/** The partial of one parameter as a product: values are those of the factors and of the result. */
export interface ChainFacts {
  symbol: string;
  name: string;
  factors: string[];
  result: string;
  numbers: string;
  values: (number | null)[];
  reused: number[];
}

export interface LabFactor {
  tex: string;
  value: number | null;
  reused: boolean;
}

/** result = its factors joined by op, which is "·", "+" or "−". */
export interface LabLine {
  result: string;
  op: string;
  factors: LabFactor[];
  value: number | null;
}

/** The partial of the whole objective in both notations; parts: the mean over the rows, and the penalty's part. */
export interface MeanPartial {
  lecture: string;
  lab: string;
  parts: (number | null)[];
  value: number | null;
}

/** For one row: the inputs, and z, a and ∂L/∂z of every layer. */
export interface UnitValues {
  inputs: (number | null)[];
  z: (number | null)[][];
  a: (number | null)[][];
  deltas: (number | null)[][];
}

/** A derivation; chains, lab and units are those of one row, means those of all rows. */
export interface DerivationFacts {
  title: string;
  loss: number | null;
  gradient: (number | null)[];
  sections: SectionFacts[];
  chains: (ChainFacts | null)[];
  lab: LabLine[][];
  means: MeanPartial[];
  units: UnitValues | null;
  predicted: number | null;
}

/** All numbers of one point. z, a, deltas (∂L/∂z): for each layer the rows, and of each row the units; the last a is ŷ. losses: of each row. value and what follows are of the whole objective; eigenvalues ascend, and eigenvectors stand in the same order. Hessian and eigenvalues are null where there are many parameters. */
export interface PointFacts {
  value: number | null;
  gradient: (number | null)[];
  hessian: (number | null)[][] | null;
  eigenvalues: (number | null)[] | null;
  eigenvectors: (number | null)[][] | null;
  z: (number | null)[][][];
  a: (number | null)[][][];
  deltas: (number | null)[][][];
  losses: (number | null)[];
}

/** The objective on a grid over two parameters. slice: there are others, which are held. */
export interface LossSurface {
  pair: number[];
  windows: [number, number][];
  size: number;
  values: (number | null)[];
  levels: number[];
  low: number;
  high: number;
  slice: boolean;
}

/** Newton's quadratic on a grid over two parameters; lowest: its minimum, null where it has none. */
export interface NewtonBowl {
  pair: number[];
  windows: [number, number][];
  size: number;
  values: (number | null)[];
  lowest: (number | null)[] | null;
}

/** The objective along one parameter, with tangent and parabola; here: parameter and value. */
export interface LossProfile {
  index: number;
  w: number[];
  value: (number | null)[];
  tangent: (number | null)[];
  parabola: (number | null)[];
  here: number[];
  slope: number;
  curvature: number;
  lowest: number | null;
}

export interface DifferenceLine {
  h: number;
  above: number;
  below: number;
  quotient: number;
  error: number;
}

/** One partial derivative beside difference quotients; best: the smallest error. */
export interface DifferenceCheck {
  index: number;
  exact: number;
  lines: DifferenceLine[];
  best: number;
}
