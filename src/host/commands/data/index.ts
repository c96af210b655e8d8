/** "backdrop data": one file a sub-command. */
import type { CommandGroup } from '../../cli.ts';
import { check } from './check.ts';
import { scenes } from './scenes.ts';

export const data: CommandGroup = {
  name: 'data',
  summary: 'check, convert and make data sets',
  commands: [check, scenes],
};
