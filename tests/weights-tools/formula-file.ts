/** A model with formula weights as RT-DETR's scripts save it: `{ema: {module: {module.…}}}`. */
import type { ModelConfig } from '../../src/models/configs.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';
import { formulaTensor, isComputed, type SeedOverrides } from '../../src/verification/formula.ts';
import { type PthTensor, type PthValue, writePth } from '../../weights-tools/write-pth.ts';
import { collect } from '../checkpoints/fixtures.ts';

interface FormulaFileOptions {
  seed?: string;
  overrides?: SeedOverrides;
  /** Puts more beside the weights. */
  change?: (root: Map<string, PthValue>) => void;
}

/** The file's bytes. */
export function formulaFile(model: string | ModelConfig, options: FormulaFileOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  const { seed = 'seed', overrides = [], change } = options;
  const tensor = (name: string, shape: readonly number[]): PthTensor => ({
    dtype: 'f32',
    shape: [...shape],
    read: () => new Uint8Array(formulaTensor(name, shape, seed, overrides).buffer),
  });
  // What a model computes from its sizes is not in a formula's power; a reader does without.
  const names = [...modelParameters(model)].filter(([name]) => !isComputed(name));
  const entries = names.map(([name, { shape }]) => [`module.${name}`, tensor(name, shape)] as const);
  const root = new Map<string, PthValue>([['ema', new Map<string, PthValue>([['module', new Map<string, PthValue>(entries)]])]]);
  change?.(root);
  return collect(writePth(root));
}
