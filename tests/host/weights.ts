/** A weights file for tests of the host: RT-DETR-R18 with weights by formula, written to a temporary folder. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '../../src/checkpoints/safetensors.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';
import { formulaTensor } from '../../src/verification/formula.ts';

/** Writes DIR/r18.safetensors and gives its path. */
export function writeWeights(folder: string): string {
  const tensors = [...modelParameters('rtdetr-r18')].map(([name, { shape, dtype }]) => ({
    name,
    shape,
    dtype: dtype === 'int64' ? 'i64' : dtype === 'bool' ? 'bool' : 'f32',
    data:
      dtype === 'float32'
        ? formulaTensor(name, shape, name)
        : new Uint8Array(shape.reduce((a, b) => a * b, 1) * (dtype === 'bool' ? 1 : 8)),
  }));
  const path = join(folder, 'r18.safetensors');
  writeFileSync(path, Buffer.concat([...writeSafetensors(tensors)]));
  return path;
}
