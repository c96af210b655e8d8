/**
 * The part of YAML 1.2 that data.yaml and configuration files are written in: block and flow mappings and lists, plain and quoted
 * scalars, block scalars (| and >), comments; JSON too, which is a part of YAML. Values are those of the core schema (10.3.2), so
 * 1e-4 is a number and "no" a text. Anchors, aliases, tags, and plain or quoted values over several lines are refused by name.
 */
import type { ErrorCode } from '../errors.ts';
import { YamlCursor, type YamlMap, type YamlValue } from './yaml-cursor.ts';

export type { YamlMap, YamlValue };

export interface YamlDocument {
  readonly value: YamlValue;
  /** The line, counted from 1, of a key or list item: ['optimizer', 'lr']. */
  lineOf(path: readonly (string | number)[]): number | undefined;
}

const maxDepth = 64;

/** @throws BackdropError E_DATA, or the code given, with file, line, column and what was expected */
export function parseYaml(text: string, file: string, code: ErrorCode = 'E_DATA'): YamlDocument {
  const parser = new Parser(text, file, code);
  const value = parser.document();
  return { value, lineOf: (path) => parser.lines.get(keyOf(path)) };
}

const keyOf = (path: readonly (string | number)[]): string => path.join('\0');

class Parser extends YamlCursor {
  readonly lines = new Map<string, number>();
  readonly #path: (string | number)[] = [];
  #line = 1;
  #nextBreak = -1;

  document(): YamlValue {
    let indent = this.#nextLine();
    while (indent === 0 && this.text[this.at] === '%') this.fail('directives (%) are not read');
    if (indent === 0 && this.#marker('---')) {
      this.at += 3;
      this.spaces();
      if (!this.lineEnds()) this.fail('expected the end of the line after ---');
      indent = this.#nextLine();
    }
    if (indent < 0 || this.#marker('...')) return null;
    if (this.#marker('---')) this.fail('a second document begins here; one is read');
    const value = this.#block(indent);
    if (this.#nextLine() >= 0 && !this.#marker('...')) {
      this.fail(this.#marker('---') ? 'a second document begins here; one is read' : 'expected the end of the file or a line further left');
    }
    return value;
  }

  /** Goes to the first character of the next line that has content. Its column, or -1 at the end. */
  #nextLine(): number {
    for (;;) {
      const start = this.text.lastIndexOf('\n', this.at - 1) + 1;
      // In the middle of a line only blanks and a comment may be left; the callers have made sure.
      if (this.text.slice(start, this.at).trim() === '') {
        this.at = start;
        this.spaces();
        const char = this.text[this.at];
        if (char === '\t' && this.restOfLine().trim() !== '') this.fail('a tab in the indentation; YAML wants spaces');
        if (char !== undefined && char !== '\n' && char !== '#' && char !== '\t') return this.at - start;
      }
      const end = this.text.indexOf('\n', this.at);
      if (end < 0) {
        this.at = this.text.length;
        return -1;
      }
      this.at = end + 1;
    }
  }

  #block(indent: number): YamlValue {
    if (this.#path.length > maxDepth) this.fail(`nested more than ${maxDepth} deep`);
    if (this.#dash()) return this.#sequence(indent);
    if (this.#keyAhead()) return this.#mapping(indent);
    const value = this.#inline();
    this.endOfLine();
    return value;
  }

  #sequence(indent: number): YamlValue[] {
    const list: YamlValue[] = [];
    for (let column = indent; column === indent && this.#dash(); column = this.#nextLine()) {
      this.#enter(list.length);
      this.at++;
      const before = this.at;
      this.spaces();
      if (this.lineEnds()) list.push(this.#below(indent, false));
      else list.push(this.#blockScalar(indent) ?? this.#block(indent + 1 + this.at - before));
      this.#path.pop();
      this.#notDeeper(indent);
    }
    return list;
  }

  #mapping(indent: number): YamlMap {
    const map: YamlMap = Object.create(null);
    for (let column = indent; column === indent && !this.#marker('---') && !this.#marker('...'); column = this.#nextLine()) {
      const start = this.at;
      if (this.#dash()) this.fail('a list item among keys');
      if (!this.#keyAhead()) this.fail('expected "key: value"');
      const key = this.#key();
      if (Object.hasOwn(map, key)) this.fail(`the key "${key}" is there twice`, start);
      this.#enter(key);
      this.spaces();
      if (this.lineEnds()) map[key] = this.#below(indent, true);
      else {
        map[key] = this.#blockScalar(indent) ?? this.#inline();
        this.endOfLine();
      }
      this.#path.pop();
      this.#notDeeper(indent);
    }
    return map;
  }

  /** The value on the lines below a key or dash: further in, or for a key's list at the same column. */
  #below(indent: number, ofKey: boolean): YamlValue {
    const column = this.#nextLine();
    if (column > indent) return this.#block(column);
    if (ofKey && column === indent && this.#dash()) return this.#sequence(indent);
    if (column >= 0) this.at -= column;
    return null;
  }

  #notDeeper(indent: number): void {
    const before = this.at;
    if (this.#nextLine() > indent) this.fail('this line is further in than the one it belongs to (values over several lines need | or >)');
    this.at = before;
  }

  #enter(key: string | number): void {
    this.#path.push(key);
    // Counted on from the last one: the text is walked once.
    while (this.#nextBreak < this.at) {
      const next = this.text.indexOf('\n', this.#nextBreak + 1);
      if (this.#nextBreak >= 0) this.#line++;
      this.#nextBreak = next < 0 ? this.text.length : next;
    }
    this.lines.set(keyOf(this.#path), this.#line);
  }

  #dash(): boolean {
    const next = this.text[this.at + 1];
    return this.text[this.at] === '-' && (next === undefined || next === ' ' || next === '\n');
  }

  #marker(marker: string): boolean {
    const after = this.text[this.at + 3];
    const atStart = this.at === 0 || this.text[this.at - 1] === '\n';
    return atStart && this.text.startsWith(marker, this.at) && (after === undefined || after === ' ' || after === '\n');
  }

  /** Does this line begin with a key and its colon? */
  #keyAhead(): boolean {
    const before = this.at;
    const char = this.text[before];
    if (char === '[' || char === '{') return false;
    if (char === '?' && /[ \n]/.test(this.text[before + 1] ?? '\n')) this.fail('complex keys (?) are not read');
    if (char === '"' || char === "'") this.quoted();
    else this.at = before + this.plainLength();
    const colon = this.#colon();
    this.at = before;
    return colon;
  }

  #colon(): boolean {
    this.spaces();
    return this.text[this.at] === ':' && /[ \n]/.test(this.text[this.at + 1] ?? '\n');
  }

  #key(): string {
    const char = this.text[this.at]!;
    this.refuse(char);
    let key: string;
    if (char === '"' || char === "'") key = this.quoted();
    else {
      const length = this.plainLength();
      key = this.text.slice(this.at, this.at + length).trimEnd();
      if (key === '') this.fail('expected a key before ":"');
      if (key === '<<') this.fail('merge keys (<<) are not read');
      this.at += length;
    }
    this.spaces();
    this.at++;
    return key;
  }

  #inline(): YamlValue {
    const char = this.text[this.at]!;
    if (char === '[' || char === '{') return this.#flow();
    if (char === '"' || char === "'") return this.quoted();
    return this.plain(false);
  }

  #flow(): YamlValue {
    if (this.#path.length > maxDepth) this.fail(`nested more than ${maxDepth} deep`);
    const open = this.text[this.at];
    if (open === '"' || open === "'") return this.quoted();
    if (open === '[') return this.#flowList();
    return open === '{' ? this.#flowMap() : this.plain(true);
  }

  #flowList(): YamlValue[] {
    const list: YamlValue[] = [];
    this.at++;
    while (this.#flowSpace() !== ']') {
      this.#enter(list.length);
      list.push(this.#flow());
      this.#path.pop();
      this.#separator(']');
    }
    this.at++;
    return list;
  }

  #flowMap(): YamlMap {
    const map: YamlMap = Object.create(null);
    this.at++;
    for (let char = this.#flowSpace(); char !== '}'; char = this.#flowSpace()) {
      const start = this.at;
      const quoted = char === '"' || char === "'";
      if (!quoted) this.refuse(char);
      const length = quoted ? 0 : this.plainLength(true);
      const key = quoted ? this.quoted() : this.text.slice(this.at, this.at + length).trimEnd();
      this.at += length;
      if (Object.hasOwn(map, key)) this.fail(`the key "${key}" is there twice`, start);
      if (this.#flowSpace() !== ':') this.fail('expected ":" after a key');
      this.#enter(key);
      this.at++;
      const next = this.#flowSpace();
      map[key] = next === ',' || next === '}' ? null : this.#flow();
      this.#path.pop();
      this.#separator('}');
    }
    this.at++;
    return map;
  }

  #separator(close: string): void {
    const char = this.#flowSpace();
    if (char === ',') this.at++;
    else if (char !== close) this.fail(`expected "," or "${close}"`);
  }

  /** Blanks, line ends and comments within brackets; the character that follows. */
  #flowSpace(): string {
    for (;;) {
      const char = this.text[this.at];
      if (char === undefined) return this.fail('the file ends within brackets');
      if (char === '#' && /\s/.test(this.text[this.at - 1]!)) this.at = this.lineEnd();
      else if (char === ' ' || char === '\n' || char === '\t') this.at++;
      else return char;
    }
  }

  /** | keeps line ends, > makes blanks of them; undefined where no such scalar begins. The lines are those further in than `indent`. */
  #blockScalar(indent: number): string | undefined {
    const style = this.text[this.at];
    if (style !== '|' && style !== '>') return undefined;
    const header = this.restOfLine().match(/^[|>]([+-]?)([1-9]?)([+-]?)(?:[ \t]+#.*|[ \t]*)$/);
    if (!header || (header[1] && header[3])) return this.fail(`expected a line end after ${style}`);
    const keep = header[1] || header[3];
    const lines: string[] = [];
    let inner = header[2] ? indent + Number(header[2]) : -1;
    let end = this.lineEnd();
    for (this.at = end + 1; this.at < this.text.length; this.at = end + 1) {
      const line = this.restOfLine();
      const column = line.search(/[^ ]/);
      if (column >= 0 && inner < 0) inner = column;
      if (column >= 0 && (column <= indent || column < inner)) break;
      lines.push(inner < 0 ? '' : line.slice(inner));
      end = this.at + line.length;
    }
    this.at = end;
    const last = lines.findLastIndex((line) => line !== '');
    const body = lines.slice(0, last + 1);
    const text = style === '|' ? body.join('\n') : fold(body);
    if (keep === '-' || last < 0 || (end === this.text.length && last === lines.length - 1)) return text;
    return `${text}\n${keep === '+' ? '\n'.repeat(lines.length - 1 - last) : ''}`;
  }
}

/** Line ends between lines at the margin become blanks; empty lines and lines further in keep theirs (8.1.3). */
function fold(lines: readonly string[]): string {
  let text = '';
  let last: string | undefined;
  let empty = 0;
  for (const line of lines) {
    if (line === '') {
      empty++;
      continue;
    }
    const keeps = /^[ \t]/.test(line) || (last !== undefined && /^[ \t]/.test(last));
    const between = last === undefined ? '' : keeps ? '\n' : empty > 0 ? '' : ' ';
    text += between + '\n'.repeat(empty) + line;
    last = line;
    empty = 0;
  }
  return text;
}
