/** A model with formula weights as RT-DETR's scripts save it: `{ema: {module: {module.…}}}`. */
import type { ModelConfig } from '../../src/models/configs.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';
import { formulaTensor } from '../../src/verification/formula.ts';
import { type PthTensor, type PthValue, writePth } from '../../weights-tools/write-pth.ts';
import { collect } from '../checkpoints/fixtures.ts';

/** The file's bytes. `change` may put more beside the weights. */
export function formulaFile(
  model: string | ModelConfig,
  change: (root: Map<string, PthValue>) => void = () => {},
): Promise<Uint8Array<ArrayBuffer>> {
  const tensor = (name: string, shape: readonly number[]): PthTensor => ({
    dtype: 'f32',
    shape: [...shape],
    read: () => new Uint8Array(formulaTensor(name, shape, 'seed').buffer),
  });
  const entries = [...modelParameters(model)].map(([name, { shape }]) => [`module.${name}`, tensor(name, shape)] as const);
  const root = new Map<string, PthValue>([['ema', new Map<string, PthValue>([['module', new Map<string, PthValue>(entries)]])]]);
  change(root);
  return collect(writePth(root));
}
