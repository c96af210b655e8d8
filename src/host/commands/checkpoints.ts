/** "backdrop convert" and "backdrop inspect": weights-tools does the work, this says which models there are. */
import { checkpointCommands } from '../../../weights-tools/commands.ts';
import { BackdropError } from '../../errors.ts';
import { models } from '../../models/configs.ts';
import { modelParameters } from '../../models/rt-detr.ts';

export const { convert, inspect } = checkpointCommands({
  names: () => models.keys(),
  expected(name) {
    try {
      return new Map([...modelParameters(name)].map(([key, { shape }]) => [key, shape]));
    } catch (error) {
      if (error instanceof BackdropError && error.code === 'E_MODEL_UNKNOWN') return undefined;
      throw error;
    }
  },
});
