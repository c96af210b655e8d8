/** Options that several sub-commands of "backdrop data" have. */
import type { Dataset } from '../../../data/dataset.ts';
import { type Args, type OptionSpec, textOption, usageError } from '../../args.ts';

export const formatOptionSpec: OptionSpec = { type: 'string', value: 'coco|yolo|voc', help: 'the format DATA is in (default: found out)' };

const formats = ['coco', 'yolo', 'voc'] as const;

/** The format that an option names, as `{ format }`, or nothing when it is absent. Throws E_CLI_USAGE. */
export function formatOption(args: Args, name: string): { format?: Dataset['format'] } {
  const text = textOption(args, name);
  if (text === undefined) return {};
  const format = formats.find((known) => known === text.toLowerCase());
  if (!format) throw usageError(`--${name} is "${text}"; expected one of ${formats.join(', ')}`);
  return { format };
}
