/** What the operations' kernel choices share: layouts as uniform values, and fused chains as hooks. */
import { type Node, split, type Tensor } from '../graph/graph.ts';
import { hookBody, libraryFor, type PointwiseChain } from '../graph/pointwise.ts';
import { wgslFunctions } from '../graph/wgsl-functions.ts';

/** Elements a kernel handles as one: 4 with vec4f buffers, 1 with f32. */
export type Unit = 1 | 4;

/** Can a kernel see this tensor as vec4f? Columns and everything that is stepped over must be multiples of four. */
export function inVectors(tensor: Tensor): boolean {
  const { offset, batch, pitch } = tensor.layout();
  const single = tensor.images * tensor.rows === 1;
  const columns = tensor.parameter?.replicated ? 4 : tensor.columns;
  return columns % 4 === 0 && offset % 4 === 0 && (single || (pitch % 4 === 0 && (tensor.images === 1 || batch % 4 === 0)));
}

/** Every tensor that a node's kernel walks, those of its fused chains included. */
export function nodeTensors(node: Node): Tensor[] {
  return [...node.inputs, ...node.outputs, ...(node.prologue?.extras ?? []), ...(node.epilogue?.extras ?? [])];
}

/** `{name}_offset`, `{name}_pitch`, `{name}_batch` in units. */
export function layoutParams<N extends string>(
  name: N,
  tensor: Tensor,
  unit: Unit,
): Record<`${N}_offset` | `${N}_pitch` | `${N}_batch`, number> {
  const { offset, batch, pitch } = tensor.layout();
  return {
    [`${name}_offset`]: offset / unit,
    [`${name}_pitch`]: Math.ceil(pitch / unit),
    [`${name}_batch`]: Math.ceil(batch / unit),
  } as Record<`${N}_offset` | `${N}_pitch` | `${N}_batch`, number>;
}

/** The same for an operand that is repeated along the dimensions it lacks. */
function broadcastParams(name: string, tensor: Tensor, main: readonly number[], unit: Unit): Record<string, number> {
  const [images, rows, columns] = split(main);
  const { offset, batch, pitch } = tensor.layout();
  return {
    [`${name}_offset`]: offset / unit,
    [`${name}_pitch`]: rows > 1 && tensor.rows === 1 ? 0 : Math.ceil(pitch / unit),
    [`${name}_batch`]: images > 1 && tensor.images === 1 ? 0 : Math.ceil(batch / unit),
    [`${name}_column`]: columns > 1 && tensor.columns === 1 ? 0 : 1,
  };
}

type ExtraName = `extra${0 | 1 | 2 | 3}`;

/** What a kernel with bindings extra0..extra3 and both hooks is given for a node's fused chains. */
export interface Fusion {
  bind: { [K in ExtraName]?: Tensor };
  params: Record<`${ExtraName}_${'offset' | 'pitch' | 'batch' | 'column'}`, number>;
  hooks: { prologue?: string; epilogue?: string };
  library: string;
}

const MAX_EXTRAS = 4;

/**
 * Hooks, bindings and uniform values of a node's fused chains, for a kernel with bindings extra0..extra3.
 * Chains are applied to shapes `prologueShape` (input 0) and `epilogueShape` (output 0).
 */
export function fusion(
  node: Node,
  unit: Unit,
  prologue: PointwiseChain | null = node.prologue,
  epilogue: PointwiseChain | null = node.epilogue,
): Fusion {
  const bind: Fusion['bind'] = {};
  const params: Record<string, number> = {};
  const hooks: Fusion['hooks'] = {};
  let used = 0;
  const take = (chain: PointwiseChain, main: readonly number[]) => {
    for (const extra of chain.extras) {
      bind[`extra${used}` as ExtraName] = extra;
      Object.assign(params, broadcastParams(`extra${used}`, extra, main, unit));
      used += 1;
    }
  };
  if (prologue) {
    hooks.prologue = hookBody(prologue, used, ['image', 'pixel', 'k']);
    take(prologue, node.inputs[0].shape);
  }
  if (epilogue) {
    hooks.epilogue = hookBody(epilogue, used, ['image', 'row', 'column']);
    take(epilogue, node.outputs[0].shape);
  }
  for (let i = used; i < MAX_EXTRAS; i++) {
    for (const field of ['offset', 'pitch', 'batch', 'column']) params[`extra${i}_${field}`] = 0;
  }
  return { bind, params: params as Fusion['params'], hooks, library: libraryFor(Object.values(hooks), wgslFunctions) };
}

/** Makes a kernel written for vec4f one for f32 where the unit is 1: its hooks that join a vector's parts hand the scalar on. */
export function elements<H extends string = never>(
  unit: Unit,
  joins: readonly H[] = [],
): { value: 'f32' | 'vec4f'; hooks: Partial<Record<H, string>> } {
  if (unit === 4) return { value: 'vec4f', hooks: {} };
  return { value: 'f32', hooks: Object.fromEntries(joins.map((name) => [name, 'return v;'])) as Partial<Record<H, string>> };
}

/** A one-dimensional count of workgroups folded into x and y, since x ends at 65535. */
export function fold(count: number): [number, number] {
  const x = Math.min(Math.max(count, 1), 65535);
  return [x, Math.ceil(Math.max(count, 1) / x)];
}
