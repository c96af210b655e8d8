/** One annotation file of VOC's. */
import { describeValue, type ProblemList } from './problems.ts';
import { childOf, parseXml, type XmlElement } from './xml.ts';

export interface VocObject {
  readonly name: string;
  /** x, y, width, height. */
  readonly box: readonly [number, number, number, number];
  readonly crowd: boolean;
  /** Not VOC's own: written by our writer where it is not the area of the box. */
  readonly area: number | undefined;
  readonly file: string;
  readonly line: number;
}

export interface VocFile {
  readonly filename: string | undefined;
  readonly width: number | undefined;
  readonly height: number | undefined;
  readonly objects: readonly VocObject[];
}

const numberOf = (element: XmlElement | undefined): number | undefined => {
  const text = element?.text ?? '';
  return /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(text) ? Number(text) : undefined;
};

/**
 * Corners are taken as they are: x = xmin, width = xmax - xmin, as labelImg, CVAT, torchvision and RT-DETR have it. (The contest of
 * 2005 to 2012 counts pixels from 1 and includes the last one: half a pixel less to the left.) Undefined where the file is no annotation.
 * @throws BackdropError E_DATA for broken XML
 */
export function parseVocFile(text: string, file: string, problems: ProblemList): VocFile | undefined {
  const root = parseXml(text, file);
  if (root.name !== 'annotation') {
    problems.add('error', 'shape', `expected <annotation>, found <${root.name}>`, { file, line: root.line });
    return undefined;
  }
  const size = childOf(root, 'size');
  const [width, height] = [numberOf(size && childOf(size, 'width')), numberOf(size && childOf(size, 'height'))];
  const known =
    width !== undefined && height !== undefined && Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (size && !known) {
    const shown = `width ${describeValue(childOf(size, 'width')?.text)}, height ${describeValue(childOf(size, 'height')?.text)}`;
    problems.add('warning', 'image-size', `${shown}: read from the picture instead`, { file, line: size.line });
  }
  const objects = root.children.filter(({ name }) => name === 'object').flatMap((object) => readObject(object, file, problems) ?? []);
  const filename = childOf(root, 'filename')?.text;
  return { filename: filename || undefined, width: known ? width : undefined, height: known ? height : undefined, objects };
}

function readObject(object: XmlElement, file: string, problems: ProblemList): VocObject | undefined {
  const { line } = object;
  const name = childOf(object, 'name')?.text ?? '';
  const bndbox = childOf(object, 'bndbox');
  const wrong = (says: string) => problems.add('error', 'shape', says, { file, line });
  if (name === '') {
    wrong('<object> has no <name>');
    return undefined;
  }
  if (!bndbox) {
    wrong(`<object> "${name}" has no <bndbox>${childOf(object, 'robndbox') ? '; turned boxes (<robndbox>) are not read' : ''}`);
    return undefined;
  }
  const corner = (key: string): number => {
    const element = childOf(bndbox, key);
    if (/^[-+]?nan$/i.test(element?.text ?? '')) return Number.NaN;
    const value = numberOf(element);
    if (value === undefined) wrong(`<object> "${name}": <${key}>: expected a number, found ${describeValue(element?.text)}`);
    return value ?? Number.POSITIVE_INFINITY;
  };
  const [x, y, right, bottom] = [corner('xmin'), corner('ymin'), corner('xmax'), corner('ymax')];
  if ([x, y, right, bottom].includes(Number.POSITIVE_INFINITY)) return undefined;
  const crowd = numberOf(childOf(object, 'difficult')) === 1;
  return { name, box: [x, y, right - x, bottom - y], crowd, area: numberOf(childOf(object, 'area')), file, line: bndbox.line };
}
