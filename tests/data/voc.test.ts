import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openDataset, readDataset } from '../../src/data/open.ts';
import type { DataProblemCode } from '../../src/data/problems.ts';
import { parseXml, type XmlElement } from '../../src/data/xml.ts';
import { BackdropError } from '../../src/errors.ts';
import { type Files, memoryDirectory, png } from './memory.ts';

const object = (name: string, box = [10, 20, 40, 60], more = '') =>
  `<object>\n<name>${name}</name>${more}<bndbox><xmin>${box[0]}</xmin><ymin>${box[1]}</ymin><xmax>${box[2]}</xmax><ymax>${box[3]}</ymax></bndbox>\n</object>\n`;
const xml = (objects: string, size = '<size><width>100</width><height>80</height><depth>3</depth></size>', filename = 'a.png') =>
  `<?xml version="1.0"?>\n<annotation verified="yes">\n<folder>f</folder><filename>${filename}</filename>${size}\n${objects}</annotation>\n`;
const base: Files = {
  'Annotations/a.xml': xml(object('dog')),
  'Annotations/b.xml': xml(object('cat') + object('dog', [1, 2, 3, 4], '<difficult>1</difficult>'), undefined, 'b.png'),
  'JPEGImages/a.png': png(100, 80),
  'JPEGImages/b.png': png(100, 80, 1),
  'ImageSets/Main/train.txt': 'a\n',
  'ImageSets/Main/val.txt': 'b\r\n',
  'ImageSets/Main/trainval.txt': 'a\nb\n',
  'ImageSets/Main/cat_train.txt': 'a -1\n',
};
const read = (files: Files) => readDataset(memoryDirectory(files), { checkImages: true });
const withA = (text: string, files: Files = {}) => read({ ...base, 'Annotations/a.xml': text, ...files });
const wrong = async (result: ReturnType<typeof read>, code: DataProblemCode) =>
  (await result).problems.filter((problem) => problem.code === code).map(({ severity, message }) => `${severity} ${message}`);

describe('a Pascal VOC data set', () => {
  it('is read: corners as they are, difficult objects as crowds, classes by name', async () => {
    const { dataset, problems } = await openDataset(memoryDirectory(base), { checkImages: true });
    expect(dataset.categories).toEqual([
      { id: 1, name: 'cat' },
      { id: 2, name: 'dog' },
    ]);
    expect(dataset.splits.get('train')).toEqual([
      {
        id: 1,
        file: 'JPEGImages/a.png',
        width: 100,
        height: 80,
        annotations: [{ id: 1, label: 1, box: [10, 20, 30, 40], area: 1200, crowd: false }],
      },
    ]);
    expect(dataset.splits.get('val')![0]!.annotations.map(({ id, label, crowd }) => [id, label, crowd])).toEqual([
      [2, 0, false],
      [3, 1, true],
    ]);
    expect(problems).toEqual([]);
  });

  it.each<[string, Files, [string, number][]]>([
    [
      'several years',
      Object.fromEntries(
        Object.entries(base).flatMap(([path, text]) => [
          [`VOC2007/${path}`, text],
          [`VOC2012/${path}`, text],
        ]),
      ),
      [
        ['train', 2],
        ['val', 2],
      ],
    ],
    [
      'trainval alone',
      Object.fromEntries(Object.entries(base).filter(([path]) => !path.endsWith('/train.txt'))),
      [
        ['train', 2],
        ['val', 1],
      ],
    ],
    [
      "Roboflow's folders",
      {
        'train/a.xml': base['Annotations/a.xml']!,
        'train/a.png': png(100, 80),
        'valid/b.xml': base['Annotations/b.xml']!,
        'valid/b.png': png(100, 80, 1),
      },
      [
        ['train', 1],
        ['val', 1],
      ],
    ],
    ['pictures elsewhere', { 'annotations/x.xml': base['Annotations/a.xml']!, 'images/a.png': png(100, 80) }, [['train', 1]]],
    [
      'names with extensions and flags in the lists',
      { ...base, 'ImageSets/Main/train.txt': 'a.png\n', 'ImageSets/Main/val.txt': 'b  1\n' },
      [
        ['train', 1],
        ['val', 1],
      ],
    ],
  ])('is found with %s', async (_, files, wanted) => {
    const { dataset, problems } = await read(files);
    expect(problems.filter(({ severity, code }) => severity !== 'info' && code !== 'leak')).toEqual([]);
    expect([...dataset.splits].map(([split, records]) => [split, records.length])).toEqual(wanted);
  });

  it('takes names that differ in case or blanks for slips', async () => {
    expect(await wrong(withA(xml(object('Dog '))), 'class-name')).toEqual([
      expect.stringMatching(/^error Annotations\/.*class "(Dog|dog)" \(1 objects\) differs from "(dog|Dog)" \(1\)/),
    ]);
    const listed = withA(xml(object('dgo')), { 'classes.txt': 'dog\ncat\n' });
    expect(await wrong(listed, 'class-name')).toEqual([
      'error Annotations/a.xml:5: class "dgo" (1 objects) is not in classes.txt; is it "dog"?',
    ]);
    expect((await listed).dataset.categories.map(({ name }) => name)).toEqual(['dog', 'cat']);
  });

  it.each<[string, string, DataProblemCode, string]>([
    [
      'broken XML',
      '<annotation>\n<object></annotation>',
      'syntax',
      'error Annotations/a.xml:2:9: broken XML: expected </object>, found </annotation>',
    ],
    ['another root', '<a/>', 'shape', 'error Annotations/a.xml:1: expected <annotation>, found <a>'],
    ['an object without a name', xml('<object/>'), 'shape', 'error Annotations/a.xml:4: <object> has no <name>'],
    ['a turned box', xml('<object><name>x</name><robndbox/></object>'), 'shape', 'turned boxes'],
    ['a corner that is no number', xml(object('dog').replace('>10<', '>ten<')), 'shape', '<xmin>: expected a number, found the text "ten"'],
    [
      'a box without area',
      xml(object('dog', [5, 5, 5, 9])),
      'box-dropped',
      'warning Annotations/a.xml:5: JPEGImages/a.png: the box [5, 5, 0, 4]',
    ],
    ['a box that reaches out', xml(object('dog', [5, 5, 120, 9])), 'box-clipped', 'cut at the edge'],
    ['a NaN', xml(object('dog').replace('>10<', '>nan<')), 'box-dropped', 'has no area'],
    [
      'a wrong size',
      xml(object('dog'), '<size><width>10</width><height>80</height></size>'),
      'image-size',
      'has 100 × 80 pixels, the labels say 10 × 80',
    ],
    ['a size of 0', xml(object('dog'), '<size><width>0</width><height>0</height></size>'), 'image-size', 'read from the picture instead'],
  ])('with %s says so', async (_, text, code, message) => {
    expect((await wrong(withA(text), code)).join('\n')).toContain(message);
  });

  it('without a size takes that of the picture', async () => {
    const result = withA(xml(object('dog'), ''));
    expect((await result).dataset.splits.get('train')![0]).toMatchObject({ width: 100, height: 80 });
    expect(await wrong(result, 'image-size')).toEqual([]);
  });

  it('counts listed pictures without XML as background', async () => {
    const more = read({ ...base, 'ImageSets/Main/train.txt': 'a\nz\n', 'JPEGImages/z.png': png(9, 9) });
    expect(await wrong(more, 'label-missing')).toEqual([
      expect.stringContaining('warning ImageSets/Main/train.txt: 1 of 2 images of train have no XML, first z'),
    ]);
    expect((await more).dataset.splits.get('train')).toHaveLength(2);
  });

  it('is not taken from XML of other kinds', async () => {
    await expect(read({ 'pom.xml': '<project/>', 'a.png': png(1, 1) })).rejects.toMatchObject({ code: 'E_DATA' });
  });
});

describe('XML', () => {
  const shape = ({ name, text, children }: XmlElement): unknown =>
    children.length > 0 ? { [name]: children.map(shape), text } : { [name]: text };
  it.each<[string, unknown]>([
    ['<a/>', { a: '' }],
    ['\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<!-- a < b -->\n<a x="1>2" y=\'z\' >t</a >\n<!-- end -->', { a: 't' }],
    ['<a> x <b/> y <c>&lt;&#65;&#x1F600;&amp;</c><![CDATA[<b>&]]></a>', { a: [{ b: '' }, { c: '<A😀&' }], text: 'x  y <b>&' }],
  ])('reads %j', (text, wanted) => {
    expect(shape(parseXml(text, 'f'))).toEqual(wanted);
  });

  it.each([
    ['', '1:1: broken XML: there is no element'],
    ['<a>', '1:4: broken XML: <a> of line 1 is not closed'],
    ['<a>\n<b></a>', '2:4: broken XML: expected </b>, found </a>'],
    ['</a>', '1:1: broken XML: </a> closes nothing'],
    ['<a/><b/>', '1:7: broken XML: a second root element'],
    ['x<a/>', '1:1: broken XML: text outside'],
    ['<a>&nbsp;</a>', '1:4: broken XML: "&nbsp;" is no character reference'],
    ['<a>Q&A</a>', '1:5: broken XML: "&A" is no character reference; a lone & is written &amp;'],
    ['<a>&#0;</a>', '1:4: '],
    ['<a x=1/>', '1:3: broken XML: <a> is not closed by ">", or an attribute is not name="value"'],
    ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', '1:1: broken XML: document types are not read'],
    ['<a><!-- </a>', '1:8: broken XML: a comment is not closed'],
    ['<a><![CDATA[</a>', 'a CDATA section is not closed'],
    ['<a'.repeat(3), '1:3: '],
    ['<a>'.repeat(100), '1:195: broken XML: nested more than 64 deep'],
    ['< a/>', '1:2: broken XML: expected the name'],
  ])('refuses %j with its place', (text, message) => {
    expect(() => parseXml(text, 'f')).toThrow(expect.objectContaining({ code: 'E_DATA', message: expect.stringContaining(message) }));
  });

  it('never fails otherwise, whatever the text', () => {
    const pieces = ['<a>', '</a>', '<b/>', '<', '>', '&amp;', '&', '<!--', '-->', '<![CDATA[', ']]>', '<?', '?>', ' x="1"', '\n', 'text'];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string()), { maxLength: 20 }), (parts) => {
        try {
          parseXml(parts.join(''), 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(BackdropError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('takes time in proportion to the text', () => {
    const long = 1 << 20;
    for (const piece of ['<', '&', '<a ', ' ', '<a/>', '<!--', '<a x="', 'a', '\n', '&#']) {
      expect(() => parseXml(`<r>${piece.repeat(long / piece.length)}`, 'f')).toThrow(BackdropError);
    }
    expect(parseXml(`<r>${'<a>1</a>\n'.repeat(long / 10)}</r>`, 'f').children.at(-1)!.line).toBe(Math.floor(long / 10));
  });
});
