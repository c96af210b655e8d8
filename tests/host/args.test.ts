import { describe, expect, it } from 'vitest';
import { type CommandSpec, commandHelp, numberOption, parseCommand } from '../../src/host/args.ts';
import { outputNames } from '../../src/host/files.ts';
import { duration, progressText } from '../../src/host/io.ts';
import { didYouMean, editDistance } from '../../src/spelling.ts';

const spec: CommandSpec = {
  name: 'detect',
  summary: 'find objects',
  usage: 'IMAGE... --weights FILE',
  positionals: { name: 'image', min: 1, max: 2 },
  options: {
    weights: { type: 'string', value: 'FILE', help: 'the model' },
    threshold: { type: 'string', value: 'N', help: 'least score' },
  },
  examples: ['backdrop detect a.jpg --weights w.safetensors'],
};
const parse = (...argv: string[]) => parseCommand(spec, argv);

describe('arguments', () => {
  it('are parsed in any order', () => {
    expect(parse('a.jpg', '--weights', 'w', 'b.jpg', '--json')).toEqual({
      positionals: ['a.jpg', 'b.jpg'],
      values: { weights: 'w', json: true },
    });
    expect(parse('--weights=--odd', 'a.jpg').values.weights).toBe('--odd');
    expect(parse('a.jpg', '--', '--b.jpg').positionals).toEqual(['a.jpg', '--b.jpg']);
    expect(parse('-h').values.help).toBe(true);
  });

  it('have the names of other tools, too, and may stand alone where that means something', () => {
    const options: CommandSpec['options'] = {
      size: { type: 'string', alias: 'imgsz', value: 'N', help: 'of the input' },
      resume: { type: 'string', short: 'r', alone: 'last', value: '[RUN]', help: 'go on' },
    };
    const values = (...argv: string[]) => parseCommand({ ...spec, options }, ['a.jpg', ...argv]).values;
    expect(values('--imgsz', '320')).toEqual({ size: '320' });
    expect(values('--imgsz=320', '-r')).toEqual({ size: '320', resume: 'last' });
    expect(values('-r', '--quiet')).toEqual({ resume: 'last', quiet: true });
    expect(values('--resume')).toEqual({ resume: 'last' });
    expect(values('-r', 'runs/train2')).toEqual({ resume: 'runs/train2' });
    expect(commandHelp({ ...spec, options })).toContain('--size, --imgsz N');
  });

  it.each([
    [['a.jpg', '--wieghts', 'w'], /unknown option --wieghts; did you mean --weights\?/],
    [['a.jpg', '--frobnicate'], /unknown option --frobnicate$/],
    [['a.jpg', '-x'], /unknown option -x/],
    [['a.jpg', '--weights'], /--weights needs a value \(FILE\)/],
    [['a.jpg', '--weights', '--json'], /--weights needs a value/],
    [['a.jpg', '--json=1'], /--json takes no value/],
    [[], /needs a image|needs an? image/],
    [['a', 'b', 'c'], /unexpected argument "c"/],
  ])('%j is wrong usage', (argv, message) => {
    expect(() => parse(...argv)).toThrow(message);
    expect(() => parse(...argv)).toThrow(expect.objectContaining({ code: 'E_CLI_USAGE' }));
  });

  it('numbers are checked', () => {
    const number = (text: string) => numberOption(parse('a', '--threshold', text), 'threshold', 0.5, { min: 0, max: 1 });
    expect(number('0.25')).toBe(0.25);
    expect(() => number('2')).toThrow('--threshold is "2"; expected a number from 0 to 1');
    expect(() => number('x')).toThrow('expected a number');
    expect(() => numberOption(parse('a', '--threshold', '100'), 'threshold', 0, { min: 32, max: 4096, multipleOf: 32 })).toThrow(
      'a multiple of 32',
    );
    expect(numberOption(parse('a'), 'threshold', 0.5, { min: 0, max: 1 })).toBe(0.5);
  });

  it('have a help text with every option and example', () => {
    const help = commandHelp(spec);
    for (const part of ['--weights FILE', '--threshold N', '--json', '-h, --help', ...spec.examples]) expect(help).toContain(part);
  });
});

describe('did you mean', () => {
  const names = ['detect', 'verify', 'doctor', 'bench', 'convert', 'inspect', 'demo'];
  it.each([
    ['detcet', 'detect'],
    ['dcotor', 'doctor'],
    ['verfy', 'verify'],
    ['insp', 'inspect'],
    ['frobnicate', undefined],
    ['', undefined],
  ])('%s -> %s', (word, expected) => expect(didYouMean(word, names)).toBe(expected));

  it('counts swapped neighbours once', () => expect(editDistance('abcd', 'abdc')).toBe(1));
});

describe('words', () => {
  it('progress shows the time left only when it can be known', () => {
    expect(progressText('loading', undefined, 5000)).toBe('loading');
    expect(progressText('loading', 0.5, 10_000)).toBe('loading  50 %  10 s left');
    expect(progressText('loading', 0.5, 100)).toBe('loading  50 %');
    expect(progressText('loading', Number.NaN, 100)).toBe('loading');
    expect(duration(200_000)).toBe('3 min 20 s');
  });

  it('outputs of inputs with one name do not collide', () => {
    expect(outputNames(['a/x.jpg', 'b/X.png', 'y.webp'], 'out', '.detected.png')).toEqual([
      'out/x.detected.png',
      'out/X-2.detected.png',
      'out/y.detected.png',
    ]);
  });
});
