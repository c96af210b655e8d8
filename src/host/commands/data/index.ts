/** "backdrop data": one file a sub-command. */
import type { CommandGroup } from '../../cli.ts';
import { check } from './check.ts';
import { convertData } from './convert.ts';
import { get } from './get.ts';
import { scenes } from './scenes.ts';
import { split } from './split.ts';
import { stats } from './stats.ts';

export const data: CommandGroup = {
  name: 'data',
  summary: 'check, convert and make data sets',
  commands: [check, stats, convertData, split, get, scenes],
};
