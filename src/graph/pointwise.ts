/**
 * Pointwise arithmetic. A row of the table (ops/pointwise.ts) is one function over an abstract algebra; evaluated over
 * WGSL text it is the kernel, a fused epilogue or prologue; over float64 numbers it is the oracle of the tests.
 */
import type { Tensor } from './graph.ts';

export interface Algebra<T, B> {
  constant(value: number): T;
  add(a: T, b: T): T;
  sub(a: T, b: T): T;
  mul(a: T, b: T): T;
  div(a: T, b: T): T;
  neg(a: T): T;
  max(a: T, b: T): T;
  min(a: T, b: T): T;
  abs(a: T): T;
  exp(a: T): T;
  log(a: T): T;
  sqrt(a: T): T;
  inverseSqrt(a: T): T;
  pow(a: T, b: T): T;
  tanh(a: T): T;
  erf(a: T): T;
  /** max(a, 0), whose derivative at 0 is 0. */
  relu(a: T): T;
  /** 1 / (1 + exp(-a)) */
  sigmoid(a: T): T;
  /** log(1 + exp(-|a|)): what softplus is above relu. */
  softplusTail(a: T): T;
  less(a: T, b: T): B;
  /** `a` where the condition holds, else `b`. */
  select(condition: B, a: T, b: T): T;
}

export interface PointwiseRow {
  readonly name: string;
  /** Tensors it takes. */
  readonly arity: number;
  /** Is the derivative at x that at the result, too? Then x need not be kept for it. */
  readonly slopeOfResult?: boolean;
  value<T, B>(m: Algebra<T, B>, operands: readonly T[], constants: readonly number[]): T;
}

/** `'v'` is the running value; a number is an index into the chain's extras. */
export type Operand = 'v' | number;

export interface PointwiseStep {
  readonly row: PointwiseRow;
  readonly operands: readonly Operand[];
  readonly constants: readonly number[];
}

export interface PointwiseChain {
  readonly steps: readonly PointwiseStep[];
  readonly extras: readonly Tensor[];
}

function literal(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError(`pointwise constant ${value} is not finite`);
  const text = String(Math.fround(value));
  return `Value(${/[.e]/.test(text) ? text : `${text}.0`})`;
}

const call = (name: string) => (a: string) => `${name}(${a})`;
const call2 = (name: string) => (a: string, b: string) => `${name}(${a}, ${b})`;
const infix = (sign: string) => (a: string, b: string) => `(${a} ${sign} ${b})`;

/** Expressions over `alias Value`, which is f32 or vec4f. */
export const wgslAlgebra: Algebra<string, string> = {
  constant: literal,
  add: infix('+'),
  sub: infix('-'),
  mul: infix('*'),
  div: infix('/'),
  neg: (a) => `(-${a})`,
  max: call2('max'),
  min: call2('min'),
  abs: call('abs'),
  exp: call('exp'),
  log: call('log'),
  sqrt: call('sqrt'),
  inverseSqrt: call('inverseSqrt'),
  pow: call2('pow'),
  tanh: call('stable_tanh'),
  erf: call('erf'),
  relu: (a) => `max(${a}, Value(0.0))`,
  sigmoid: call('sigmoid'),
  softplusTail: call('softplus_tail'),
  less: infix('<'),
  select: (condition, a, b) => `select(${b}, ${a}, ${condition})`,
};

/** The body of a hook `fn epilogue(v: Value, image: u32, row: u32, column: u32) -> Value` (or prologue) for a chain. */
export function hookBody(chain: PointwiseChain, firstExtra: number, position: readonly [string, string, string]): string {
  const lines = chain.extras.map((_, i) => `let e${i} = extra${firstExtra + i}_at(${position.join(', ')});`);
  let running = 'v';
  chain.steps.forEach((step, i) => {
    const operands = step.operands.map((o) => (o === 'v' ? running : `e${o}`));
    lines.push(`let v${i} = ${step.row.value(wgslAlgebra, operands, step.constants)};`);
    running = `v${i}`;
  });
  lines.push(`return ${running};`);
  return lines.join(' ');
}

/** Uses of library functions decide whether a kernel's text gets them. */
export function libraryFor(bodies: readonly string[], library: string): string {
  return bodies.some((body) => /\b(erf|stable_tanh|sigmoid|softplus_tail)\(/.test(body)) ? library : '';
}
