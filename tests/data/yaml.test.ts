import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseYaml, type YamlValue } from '../../src/data/yaml.ts';
import { BackdropError } from '../../src/errors.ts';

const value = (text: string) => JSON.parse(JSON.stringify(parseYaml(text, 'f.yaml').value));

const ultralytics = `# Ultralytics
path: ../datasets/coco8 # dataset root dir
train: images/train  # 4 images
val: images/val

# Classes
names:
  0: person
  1: bicycle
  10: fire hydrant
download: |
  from pathlib import Path

  for p in "train", "val":
      print(p)  # not a comment here
end: 1
`;

describe('YAML', () => {
  it.each<[string, string, unknown]>([
    [
      'a data.yaml of Ultralytics',
      ultralytics,
      {
        path: '../datasets/coco8',
        train: 'images/train',
        val: 'images/val',
        names: { 0: 'person', 1: 'bicycle', 10: 'fire hydrant' },
        download: 'from pathlib import Path\n\nfor p in "train", "val":\n    print(p)  # not a comment here\n',
        end: 1,
      },
    ],
    [
      'a data.yaml of Roboflow',
      "train: ../train/images\nnc: 3\nnames: ['RBC', 'it''s', \"tab\\t\"]\n\nroboflow:\n  url: https://universe.roboflow.com/a/b\n",
      { train: '../train/images', nc: 3, names: ['RBC', "it's", 'tab\t'], roboflow: { url: 'https://universe.roboflow.com/a/b' } },
    ],
    [
      'lists at the column of their key',
      'a:\n- 1\n- - 2\n  - 3\n-\n  b: 4\n  c: 5\n- d: 6\n  e:\n  - 7\nf:\n',
      { a: [1, [2, 3], { b: 4, c: 5 }, { d: 6, e: [7] }], f: null },
    ],
    ['flow over lines', 'a: [1, {b: 2, "c":3,d: }, # why\n  [],\n  x y]\n', { a: [1, { b: 2, c: 3, d: null }, [], 'x y'] }],
    ['JSON', '{"lr": 1e-4, "names": ["a", null], "on": true}', { lr: 1e-4, names: ['a', null], on: true }],
    [
      'scalars of the core schema',
      '[~, null, true, False, no, 1, -2.5, .5, 1e-4, 0x1f, 0o17, 1_000, 1.2.3, -, "1"]'.replace(' -,', ' --,'),
      [null, null, true, false, 'no', 1, -2.5, 0.5, 1e-4, 31, 15, '1_000', '1.2.3', '--', '1'],
    ],
    [
      'folded and stripped text',
      'a: >-\n  one\n  two\n\n  three\n    far\nb: |+\n  x\n\nc: |-\n  y\n',
      { a: 'one two\nthree\n  far', b: 'x\n\n', c: 'y' },
    ],
    ['document marks, byte order mark, Windows line ends', '\ufeff---\r\na: 1\r\nb: x # y\r\n...\r\n', { a: 1, b: 'x' }],
    ['escapes', '"\\x41\\u00e9\\U0001F600\\\\\\n"', 'Aé😀\\\n'],
    ['nothing', '# only a comment\n', null],
    ['colons and hashes inside words', 'a:b: c#d\nurl: http://x:1/y', { 'a:b': 'c#d', url: 'http://x:1/y' }],
  ])('reads %s', (_, text, wanted) => {
    expect(value(text)).toEqual(wanted);
  });

  it('keeps what is a number in JavaScript only', () => {
    expect(parseYaml('[.inf, -.INF, .nan]', 'f').value).toEqual([Infinity, -Infinity, Number.NaN]);
  });

  it('keeps keys that objects have from birth', () => {
    const map = parseYaml('__proto__: 1\nconstructor: {toString: 2}', 'f').value as Record<string, YamlValue>;
    expect(Object.keys(map)).toEqual(['__proto__', 'constructor']);
    expect(map.toString).toBeUndefined();
  });

  it('knows the line of a key', () => {
    const { lineOf } = parseYaml('a: 1\n\nb:\n  - x\n  - c: 2\n    d: {e: 3}\n', 'f');
    expect([['a'], ['b'], ['b', 0], ['b', 1], ['b', 1, 'd'], ['b', 1, 'd', 'e'], ['z']].map((path) => lineOf(path))).toEqual([
      1,
      3,
      4,
      5,
      6,
      6,
      undefined,
    ]);
  });

  it.each<[string, string]>([
    ['a: 1\na: 2', '2:1: the key "a" is there twice'],
    ['a: {b: 1, b: 2}', '1:11: the key "b" is there twice'],
    ['a:\n\tb: 1', '2:1: a tab in the indentation'],
    ['a: 1\n  b: 2', '2:3: this line is further in'],
    ['a:\n    b: 1\n  c: 2', '3:3: '],
    ['a: b: c', '1:5: a colon followed by a space'],
    ['a: "b', '1:4: '],
    ['a: "\\q"', '1:6: \\q is no escape'],
    ['a: [1, 2', '1:9: the file ends within brackets'],
    ['a: [1 2}', '1:8: expected "," or "]"'],
    ['a: &x 1', '1:4: anchors (&) are not read'],
    ['a: *x', '1:4: aliases (*) are not read'],
    ['a: !!str 1', '1:4: tags (!) are not read'],
    ['<<: {a: 1}', '1:1: merge keys (<<) are not read'],
    ['? a\n: b', '1:1: complex keys (?) are not read'],
    ['%YAML 1.2\n---\na: 1', '1:1: directives (%) are not read'],
    ['a: 1\n---\nb: 2', '2:1: a second document begins here'],
    ['a: - 1', '1:4: a value cannot begin with -'],
    ['a: @b', '1:4: a value cannot begin with @'],
    ['a: 1\n- b', '2:1: a list item among keys'],
    ['a: 1\nplain', '2:1: expected "key: value"'],
    ['a: "b" c', '1:8: expected the end of the line'],
    ['- a\nb: 1', '2:1: expected the end of the file'],
    [': a', '1:1: a value cannot begin with :'],
    [`a: ${'['.repeat(100)}`, '1:68: nested more than 64 deep'],
  ])('refuses %j with its place', (text, message) => {
    const error = (() => {
      try {
        return parseYaml(text, 'f.yaml', 'E_INPUT');
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toMatchObject({ code: 'E_INPUT' });
    expect((error as Error).message).toContain(`f.yaml:${message}`);
  });

  it('gives back any value, written in blocks or as JSON', () => {
    const text = fc.oneof(fc.string(), fc.constantFrom('1', 'true', 'a: b', '- x', '# c', ''));
    const any = fc.letrec<{ value: YamlValue }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        text,
        fc.integer(),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(text, tie('value'), { maxKeys: 4 }),
      ),
    })).value;
    const blocks = (data: YamlValue, indent: string): string => {
      if (data === null || typeof data !== 'object') return ` ${JSON.stringify(data)}\n`;
      const rows = Array.isArray(data)
        ? data.map((item) => ['-', item] as const)
        : Object.entries(data).map(([key, item]) => [`${JSON.stringify(key)}:`, item] as const);
      if (rows.length === 0) return Array.isArray(data) ? ' []\n' : ' {}\n';
      return `\n${rows.map(([head, item]) => `${indent}${head}${blocks(item, `${indent}  `)}`).join('')}`;
    };
    fc.assert(
      fc.property(any, (data) => {
        expect(value(JSON.stringify(data, null, 2))).toEqual(JSON.parse(JSON.stringify(data)));
        expect(value(blocks(data, ''))).toEqual(JSON.parse(JSON.stringify(data)));
      }),
    );
  });

  it('never fails otherwise, whatever the text', () => {
    const pieces = [
      'a',
      'b: ',
      '- ',
      '  ',
      '\n',
      '[',
      ']',
      '{',
      '}',
      ', ',
      '"x"',
      "'",
      '#',
      ':',
      '|',
      '>-',
      '\t',
      '---\n',
      '? ',
      '&',
      '\\',
      '1e-4',
      '%',
    ];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string()), { maxLength: 30 }), (parts) => {
        try {
          parseYaml(parts.join(''), 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(BackdropError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('takes time in proportion to the text: a megabyte in one line, in many, and of opening brackets', () => {
    const count = 100_000;
    expect((parseYaml(`[${'12, '.repeat(count)}]`, 'f').value as YamlValue[]).length).toBe(count);
    expect((parseYaml('- 12\n'.repeat(count), 'f').value as YamlValue[]).length).toBe(count);
    expect(parseYaml(`a: >\n${'  x\n\n'.repeat(count)}`, 'f').value).toMatchObject({});
    for (const char of '[{-"\'|>#:? \t') expect(() => parseYaml(`${char.repeat(1 << 20)}!`, 'f').value ?? '').not.toThrow(RangeError);
  });
});
