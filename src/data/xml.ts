/**
 * The part of XML 1.0 that annotation files are written in: elements, text, CDATA, comments, the five named and the numeric
 * character references. Attributes are checked and passed over. Document types are refused: they can define entities that swell
 * without bound. Nothing here recurses, and every step moves on, so time and memory follow the length of the text.
 */
import { BackdropError } from '../errors.ts';
import { lineAndColumn } from './json.ts';

export interface XmlElement {
  readonly name: string;
  /** Counted from 1. */
  readonly line: number;
  /** The element's own text, without that of its children, trimmed. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface OpenElement {
  name: string;
  line: number;
  text: string;
  children: XmlElement[];
}

const maxDepth = 64;
const name = /[A-Za-z_:\u0080-\uffff][\w:.\u0080-\uffff-]*/y;
const attribute = /\s+[A-Za-z_:\u0080-\uffff][\w:.\u0080-\uffff-]*\s*=\s*(?:"[^"<]*"|'[^'<]*')/y;
const tagEnd = /\s*(\/?)>/y;
const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** The root element. @throws BackdropError E_DATA with file, line, column and what was expected */
export function parseXml(source: string, file: string): XmlElement {
  const text = source.replace(/^\ufeff/, '');
  const open: OpenElement[] = [];
  let root: OpenElement | undefined;
  let at = 0;
  let line = 1;
  let counted = 0;

  const fail = (says: string, where = at): never => {
    const place = lineAndColumn(text, where);
    throw new BackdropError('E_DATA', `${file}:${place.line}:${place.column}: broken XML: ${says}`, { details: { file, ...place } });
  };
  const match = (token: RegExp): RegExpExecArray | null => {
    token.lastIndex = at;
    const found = token.exec(text);
    if (found) at = token.lastIndex;
    return found;
  };
  /** What stands before `end`, which is passed; `what` is not closed otherwise. */
  const until = (end: string, what: string): string => {
    const found = text.indexOf(end, at);
    if (found < 0) fail(`${what} is not closed`);
    const inside = text.slice(at, found);
    at = found + end.length;
    return inside;
  };
  const countLines = (): void => {
    for (; counted < at; counted++) if (text[counted] === '\n') line++;
  };
  const addText = (piece: string, start: number): void => {
    const inside = open.at(-1);
    if (inside) inside.text += piece;
    else if (piece.trim() !== '') fail('text outside of the root element', start);
  };
  const close = (): void => {
    const element = open.pop()!;
    element.text = element.text.trim();
    open.at(-1)?.children.push(element);
  };

  while (at < text.length) {
    if (text[at] !== '<') {
      const start = at;
      const end = text.indexOf('<', at);
      at = end < 0 ? text.length : end;
      addText(
        decode(text.slice(start, at), (says, offset) => fail(says, start + offset)),
        start,
      );
    } else if (text.startsWith('<!--', at)) {
      at += 4;
      until('-->', 'a comment');
    } else if (text.startsWith('<![CDATA[', at)) {
      const start = at;
      at += 9;
      addText(until(']]>', 'a CDATA section'), start);
    } else if (text.startsWith('<?', at)) {
      until('?>', 'a processing instruction');
    } else if (text.startsWith('<!', at)) {
      fail('document types are not read');
    } else if (text[at + 1] === '/') {
      const start = at;
      at += 2;
      const closed = match(name)?.[0];
      const inside = open.at(-1);
      if (!match(tagEnd)) fail('expected ">"');
      if (!inside || inside.name !== closed)
        fail(inside ? `expected </${inside.name}>, found </${closed}>` : `</${closed}> closes nothing`, start);
      close();
    } else {
      countLines();
      at++;
      const found = match(name)?.[0] ?? fail('expected the name of an element after "<"');
      if (open.length === 0 && root) fail('a second root element');
      if (open.length >= maxDepth) fail(`nested more than ${maxDepth} deep`);
      while (match(attribute));
      const end = match(tagEnd) ?? fail(`<${found}> is not closed by ">", or an attribute is not name="value"`);
      const element: OpenElement = { name: found, line, text: '', children: [] };
      root ??= element;
      open.push(element);
      if (end[1] === '/') close();
    }
  }
  const unclosed = open.at(-1);
  if (unclosed) fail(`<${unclosed.name}> of line ${unclosed.line} is not closed`);
  return root ?? fail('there is no element');
}

function decode(text: string, fail: (says: string, offset: number) => never): string {
  if (!text.includes('&')) return text;
  return text.replace(/&([^;&\s]{0,32});?/g, (whole, reference: string, offset: number) => {
    if (whole.endsWith(';') && Object.hasOwn(named, reference)) return named[reference]!;
    const digits = reference.match(/^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/);
    const code = digits ? Number.parseInt(digits[1] ?? digits[2]!, digits[1] ? 16 : 10) : -1;
    if (!whole.endsWith(';') || code < 1 || code > 0x10ffff)
      return fail(`"${whole}" is no character reference; a lone & is written &amp;`, offset);
    return String.fromCodePoint(code);
  });
}

/** The first child of that name. */
export const childOf = (element: XmlElement, wanted: string): XmlElement | undefined =>
  element.children.find(({ name }) => name === wanted);
