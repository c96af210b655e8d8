/**
 * The memory plan: every activation gets an arena and an offset before the first run. WebGPU forbids a dispatch to read and
 * write one buffer, even at disjoint ranges, so values that meet that way lie in different arenas (a greedy colouring).
 */
import type { Value } from './graph.ts';

export const ALIGNMENT = 256;

export interface Lifetime {
  value: Value;
  bytes: number;
  /** First and last dispatch that touches it. */
  first: number;
  last: number;
}

export interface Placement extends Lifetime {
  arena: number;
  offset: number;
}

export interface MemoryPlan {
  /** Bytes of each arena. */
  arenas: number[];
  placements: Placement[];
  /** Bytes that live at the busiest dispatch: no plan can be smaller. */
  lowerBound: number;
}

export interface PlannedAccess {
  reads: readonly Value[];
  writes: readonly Value[];
}

export interface PlanOptions {
  /** False gives every value memory of its own, for comparing results bit for bit. */
  reuse?: boolean;
  /** Values that must survive the last dispatch. */
  outputs?: ReadonlySet<Value>;
  /** Values that have memory elsewhere. */
  elsewhere?: ReadonlySet<Value>;
  /** Most bytes of an arena with several values: the device's `maxBufferSize`. */
  maxArena?: number;
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function lifetimes(accesses: readonly PlannedAccess[], options: PlanOptions): Lifetime[] {
  const found = new Map<Value, Lifetime>();
  accesses.forEach(({ reads, writes }, at) => {
    for (const value of [...reads, ...writes]) {
      if (value.kind !== 'activation' || options.elsewhere?.has(value)) continue;
      const known = found.get(value);
      if (known) known.last = at;
      else found.set(value, { value, bytes: align(value.images * value.rows * value.columns * 4), first: at, last: at });
    }
  });
  for (const lifetime of found.values()) {
    if (options.outputs?.has(lifetime.value)) lifetime.last = accesses.length;
    if (options.reuse === false) {
      lifetime.first = 0;
      lifetime.last = accesses.length;
    }
  }
  return [...found.values()];
}

/** Values that may not share an arena: each with those it meets as read against write. */
function conflicts(accesses: readonly PlannedAccess[]): Map<Value, Set<Value>> {
  const map = new Map<Value, Set<Value>>();
  const join = (a: Value, b: Value) => {
    if (!map.has(a)) map.set(a, new Set());
    map.get(a)!.add(b);
  };
  for (const { reads, writes } of accesses) {
    for (const r of reads)
      for (const w of writes) {
        join(r, w);
        join(w, r);
      }
  }
  return map;
}

/** The lowest offset in an arena where `bytes` fit beside everything alive at the same time. */
function fit(bytes: number, neighbours: Placement[]): number {
  let offset = 0;
  for (const other of neighbours.sort((a, b) => a.offset - b.offset)) {
    if (other.offset - offset >= bytes) break;
    offset = Math.max(offset, other.offset + other.bytes);
  }
  return offset;
}

/** Greedy by size (arXiv 2001.03288), each value into the arena that grows least. */
export function planMemory(accesses: readonly PlannedAccess[], options: PlanOptions = {}): MemoryPlan {
  const all = lifetimes(accesses, options).sort((a, b) => b.bytes - a.bytes || a.first - b.first || a.value.id - b.value.id);
  const forbidden = conflicts(accesses);
  const { maxArena = Infinity } = options;
  const arenas: number[] = [];
  const placed: Placement[][] = [];
  const arenaOf = new Map<Value, number>();
  for (const lifetime of all) {
    const taken = new Set([...(forbidden.get(lifetime.value) ?? [])].map((v) => arenaOf.get(v)));
    let best: { arena: number; offset: number; growth: number } | null = null;
    for (let arena = 0; arena <= arenas.length; arena++) {
      if (taken.has(arena)) continue;
      const neighbours = (placed[arena] ?? []).filter((p) => p.first <= lifetime.last && lifetime.first <= p.last);
      const offset = fit(lifetime.bytes, neighbours);
      if (offset > 0 && offset + lifetime.bytes > maxArena) continue;
      const growth = Math.max(0, offset + lifetime.bytes - (arenas[arena] ?? 0));
      if (!best || growth < best.growth) best = { arena, offset, growth };
    }
    const { arena, offset } = best!;
    arenas[arena] = Math.max(arenas[arena] ?? 0, offset + lifetime.bytes);
    arenaOf.set(lifetime.value, arena);
    placed[arena] ??= [];
    placed[arena].push({ ...lifetime, arena, offset });
  }
  const change = new Float64Array(accesses.length + 2);
  for (const { first, last, bytes } of all) {
    change[first] += bytes;
    change[last + 1] -= bytes;
  }
  let [alive, lowerBound] = [0, 0];
  for (const bytes of change) {
    alive += bytes;
    lowerBound = Math.max(lowerBound, alive);
  }
  return { arenas, placements: placed.flat(), lowerBound };
}

/** The plan as a table: one line a value, largest first. */
export function formatPlan(plan: MemoryPlan): string {
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(2);
  const total = plan.arenas.reduce((a, b) => a + b, 0);
  const lines = [
    `activations ${mib(total)} MiB in ${plan.arenas.length} arenas (${plan.arenas.map(mib).join(' + ')}); at least ${mib(plan.lowerBound)} MiB are alive at once`,
  ];
  for (const p of [...plan.placements].sort((a, b) => a.first - b.first || b.bytes - a.bytes)) {
    lines.push(
      `${mib(p.bytes).padStart(8)} MiB  arena ${p.arena} @ ${String(p.offset).padStart(9)}  dispatches ${p.first}..${p.last}  ${p.value.label}`,
    );
  }
  return lines.join('\n');
}
