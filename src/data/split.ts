/**
 * Divides images among train, val and test so that every class is divided alike: iterative stratification for images of several
 * labels (K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011, Algorithm 1), with
 * ties drawn from the seed. The same images, fractions and seed give the same splits on every machine.
 */
import { BackdropError } from '../errors.ts';
import { splitDraws } from './augment/draws.ts';
import { type Dataset, type ImageRecord, type Split, splitNames } from './dataset.ts';

export interface SplitOptions {
  /** Parts of all images, each from 0 to 1 and together 1. A split of 0 is not made. */
  readonly fractions: Readonly<Record<Split, number>>;
  /** A whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /** Files that belong together, such as pictures with the same bytes: equal values stay in one split. */
  readonly together?: ReadonlyMap<string, string>;
}

/** Images that stay together, and the classes that they show. */
interface Group {
  readonly records: ImageRecord[];
  readonly labels: Set<number>;
}

/** Images without a box are a class of their own. */
const background = -1;

/**
 * Joins the splits that there are and divides anew; a file that was in several is taken once. Images and
 * annotations get ids from 1 on.
 * @throws BackdropError E_DATA when there are fewer images than splits; E_INPUT for fractions that are none
 */
export function splitDataset(dataset: Dataset, { fractions, seed, together }: SplitOptions): Dataset {
  const wanted = splitNames.filter((split) => fractions[split] > 0);
  const sum = splitNames.reduce((total, split) => total + fractions[split], 0);
  if (splitNames.some((split) => !(fractions[split] >= 0)) || Math.abs(sum - 1) > 1e-9) {
    throw new BackdropError(
      'E_INPUT',
      `the parts of the splits are ${splitNames.map((split) => fractions[split]).join(', ')}: they must be 0 or more and together 1`,
    );
  }
  const unique = new Map([...dataset.splits.values()].flat().map((record) => [record.file, record]));
  let boxes = 0;
  const records = [...unique.values()].map((record, i) => ({
    ...record,
    id: i + 1,
    annotations: record.annotations.map((annotation) => ({ ...annotation, id: ++boxes })),
  }));
  if (records.length < wanted.length)
    throw new BackdropError('E_DATA', `${records.length} images cannot be divided among ${wanted.length} splits`);

  const groups = new Map<string, Group>();
  for (const record of records) {
    const key = together?.get(record.file) ?? `file ${record.file}`;
    const group = groups.get(key) ?? { records: [], labels: new Set() };
    groups.set(key, group);
    group.records.push(record);
    for (const { label } of record.annotations) group.labels.add(label);
    if (record.annotations.length === 0) group.labels.add(background);
  }
  const draws = splitDraws(seed);
  const list = [...groups.values()];
  const shuffled = draws.permutation(list.length).map((i) => list[i]!);
  const sizes = wholeSizes(
    records.length,
    wanted.map((split) => fractions[split]),
  );
  const parts = stratify(shuffled, sizes, () => draws.uniform());
  const byId = (a: ImageRecord, b: ImageRecord) => a.id - b.id;
  return { ...dataset, splits: new Map(wanted.map((split, i) => [split, parts[i]!.flatMap((group) => group.records).sort(byId)])) };
}

/** Whole numbers in these proportions with the right sum (largest remainders), none of them 0. */
function wholeSizes(total: number, fractions: readonly number[]): number[] {
  const sizes = fractions.map((fraction) => Math.floor(fraction * total));
  const order = fractions.map((fraction, i) => ({ i, rest: fraction * total - sizes[i]! })).sort((a, b) => b.rest - a.rest || a.i - b.i);
  const left = total - sizes.reduce((a, b) => a + b, 0);
  for (let k = 0; k < left; k++) sizes[order[k % order.length]!.i]!++;
  for (let empty = sizes.indexOf(0); empty >= 0; empty = sizes.indexOf(0)) {
    sizes[sizes.indexOf(Math.max(...sizes))]!--;
    sizes[empty]!++;
  }
  return sizes;
}

/** The rarest class first: its images go where most of that class is still wanted, then where most images are, then by lot. */
function stratify(groups: readonly Group[], sizes: readonly number[], uniform: () => number): Group[][] {
  const total = sizes.reduce((a, b) => a + b, 0);
  const room = [...sizes];
  const left = new Map<number, Set<Group>>();
  for (const group of groups) {
    for (const label of group.labels) {
      const all = left.get(label) ?? new Set();
      left.set(label, all.add(group));
    }
  }
  const desired = new Map([...left].map(([label, all]) => [label, sizes.map((size) => (all.size * size) / total)]));
  const parts: Group[][] = sizes.map(() => []);
  while (left.size > 0) {
    const [label, rarest] = [...left].reduce((least, entry) =>
      entry[1].size < least[1].size || (entry[1].size === least[1].size && entry[0] < least[0]) ? entry : least,
    );
    for (const group of [...rarest]) {
      const to = best(desired.get(label)!, room, uniform);
      parts[to]!.push(group);
      room[to]! -= group.records.length;
      for (const one of group.labels) {
        desired.get(one)![to]!--;
        left.get(one)?.delete(group);
      }
    }
    for (const [one, all] of [...left]) if (all.size === 0) left.delete(one);
  }
  return parts;
}

/** Among the parts that have room: where most is desired, then most room, then drawn. */
function best(desired: readonly number[], room: readonly number[], uniform: () => number): number {
  const open = room.some((free) => free > 0);
  let candidates = room.flatMap((free, i) => (free > 0 || !open ? [i] : []));
  for (const measure of [desired, room]) {
    const most = Math.max(...candidates.map((i) => measure[i]!));
    candidates = candidates.filter((i) => measure[i]! === most);
  }
  return candidates.length === 1 ? candidates[0]! : candidates[Math.floor(uniform() * candidates.length)]!;
}
