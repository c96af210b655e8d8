/**
 * Name maps as tables. A row pairs one of our names with theirs; `{x}` stands for a number, a final `*` for the rest of the name.
 * Where they split what we stack (q, k, v), the row lists their names in the order of our rows. To add a map, write its rows.
 */
import type { TensorSource } from '../../src/checkpoints/tensors.ts';
import { BackdropError } from '../../src/errors.ts';
import type { Piece } from '../mapped.ts';

export interface Row {
  readonly ours: string;
  /** One name, or several to be stacked along the first dimension. */
  readonly theirs: readonly string[];
  /** Names under which the same tensor may occur once more, or instead. */
  readonly also?: readonly string[];
}

interface Template {
  readonly pattern: RegExp;
  readonly fill: (groups: ReadonlyMap<string, string>) => string;
  readonly holes: readonly string[];
}

function compile(template: string): Template {
  const holes: string[] = [];
  const source = template.replace(/\{(\w+)\}|\*|[.]/g, (part, hole: string | undefined) => {
    if (part === '.') return '\\.';
    holes.push(hole ?? '*');
    return hole === undefined ? '(.+)' : '(\\d+)';
  });
  return {
    pattern: new RegExp(`^${source}$`),
    holes,
    fill: (groups) => template.replace(/\{(\w+)\}|\*/g, (_, hole: string | undefined) => groups.get(hole ?? '*')!),
  };
}

function match({ pattern, holes }: Template, name: string): Map<string, string> | undefined {
  const found = pattern.exec(name);
  return found ? new Map(holes.map((hole, i) => [hole, found[i + 1]!])) : undefined;
}

export interface NameTable {
  /** Their names for one of ours, in stacking order, and the further copies they keep; undefined where they have none. */
  theirs(ours: string): { stack: string[]; also: string[] } | undefined;
  /** Our name for one of theirs, its place in the stack, and whether it is a further copy. */
  ours(theirs: string): { name: string; index: number; of: number; copy: boolean } | undefined;
}

/** The first row that matches wins, in both directions. */
export function nameTable(rows: readonly Row[]): NameTable {
  const compiled = rows.map(({ ours, theirs, also = [] }) => ({
    ours: compile(ours),
    theirs: theirs.map(compile),
    also: also.map(compile),
  }));
  return {
    theirs(name) {
      for (const row of compiled) {
        const groups = match(row.ours, name);
        if (groups) return { stack: row.theirs.map((t) => t.fill(groups)), also: row.also.map((t) => t.fill(groups)) };
      }
      return undefined;
    },
    ours(name) {
      for (const row of compiled) {
        for (const [index, template] of row.theirs.entries()) {
          const groups = match(template, name);
          if (groups) return { name: row.ours.fill(groups), index, of: row.theirs.length, copy: false };
        }
        for (const template of row.also) {
          const groups = match(template, name);
          if (groups) return { name: row.ours.fill(groups), index: 0, of: 1, copy: true };
        }
      }
      return undefined;
    },
  };
}

/** What a map makes of a source. */
export interface Mapped {
  readonly mapping: Map<string, readonly Piece[]>;
  /** Names the map has no place for. */
  readonly unknown: string[];
}

/** Their source under our names. Throws E_CKPT_ARCH where a stacked tensor lacks one of its parts. */
export function toOurs(source: TensorSource, table: NameTable, normalise: (name: string) => string = (name) => name): Mapped {
  const stacks = new Map<string, (string | undefined)[]>();
  const copies = new Map<string, string>();
  const unknown: string[] = [];
  for (const name of source.tensors.keys()) {
    const found = table.ours(normalise(name));
    if (!found) unknown.push(name);
    else if (found.copy) copies.set(found.name, name);
    else {
      const stack = stacks.get(found.name) ?? new Array<string | undefined>(found.of).fill(undefined);
      stack[found.index] = name;
      stacks.set(found.name, stack);
    }
  }
  const mapping = new Map<string, readonly Piece[]>();
  for (const [name, stack] of stacks) {
    if (stack.includes(undefined)) {
      throw new BackdropError('E_CKPT_ARCH', `the checkpoint has ${stack.filter(Boolean).join(', ')}, but not the other parts of ${name}`, {
        hint: 'the file is incomplete',
        details: { tensor: name },
      });
    }
    mapping.set(
      name,
      (stack as string[]).map((from) => ({ from })),
    );
  }
  for (const [name, from] of copies) if (!mapping.has(name)) mapping.set(name, [{ from }]);
  return { mapping, unknown };
}

/** Our source under their names, tied copies included. */
export function toTheirs(source: TensorSource, table: NameTable): Mapped {
  const mapping = new Map<string, readonly Piece[]>();
  const unknown: string[] = [];
  for (const name of source.tensors.keys()) {
    const found = table.theirs(name);
    if (!found) {
      unknown.push(name);
      continue;
    }
    const of = found.stack.length;
    for (const [index, theirs] of found.stack.entries())
      mapping.set(theirs, [of === 1 ? { from: name } : { from: name, rows: { index, of } }]);
    for (const theirs of found.also) mapping.set(theirs, [{ from: name }]);
  }
  return { mapping, unknown };
}
