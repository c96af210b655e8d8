/** A place in a YAML text: what is on the line, quoted and plain scalars, and errors that name the place. */
import { BackdropError, type ErrorCode } from '../errors.ts';
import { lineAndColumn } from './json.ts';

export type YamlValue = null | boolean | number | string | YamlValue[] | YamlMap;
/** Has no prototype: a key may be called anything. Keys are texts as they stand in the file. */
export interface YamlMap {
  [key: string]: YamlValue;
}

const brackets = ',[]{}';
const blank = (char: string): boolean => char === ' ' || char === '\n' || char === '\t';

export class YamlCursor {
  protected readonly text: string;
  protected at = 0;
  readonly #file: string;
  readonly #code: ErrorCode;

  constructor(text: string, file: string, code: ErrorCode) {
    this.text = text.replace(/^\ufeff/, '').replace(/\r\n?/g, '\n');
    this.#file = file;
    this.#code = code;
  }

  protected quoted(): string {
    const start = this.at;
    const quote = this.text[start]!;
    let text = '';
    for (this.at++; this.at < this.text.length; this.at++) {
      const char = this.text[this.at]!;
      if (char === '\n') this.fail('quoted text over several lines is not read, or a quote is missing', start);
      if (char === quote) {
        this.at++;
        if (quote === '"' || this.text[this.at] !== "'") return text;
        text += "'";
      } else if (char === '\\' && quote === '"') text += this.#escape();
      else text += char;
    }
    return this.fail('a quote is missing', start);
  }

  /** Leaves the position at the last character of the escape. */
  #escape(): string {
    const char = this.text[++this.at] ?? '';
    const simple: Record<string, string> = {
      n: '\n',
      t: '\t',
      r: '\r',
      0: '\0',
      '"': '"',
      '\\': '\\',
      '/': '/',
      ' ': ' ',
      b: '\b',
      f: '\f',
      e: '\x1b',
    };
    if (Object.hasOwn(simple, char)) return simple[char]!;
    const length = { x: 2, u: 4, U: 8 }[char] ?? 0;
    const digits = this.text.slice(this.at + 1, this.at + 1 + length);
    const value = Number.parseInt(digits, 16);
    if (length === 0 || digits.length < length || !/^[0-9a-f]+$/i.test(digits) || value > 0x10ffff) {
      this.fail(`\\${char} is no escape; a backslash in double quotes is written \\\\`);
    }
    this.at += length;
    return String.fromCodePoint(value);
  }

  protected plain(flow: boolean): YamlValue {
    this.refuse(this.text[this.at]!);
    const length = this.plainLength(flow);
    const text = this.text.slice(this.at, this.at + length).trimEnd();
    this.at += length;
    if (!flow && this.text[this.at] === ':') this.fail('a colon followed by a space within a value: put the value in quotes');
    return scalarValue(text);
  }

  /** A plain scalar ends at ": ", " #", or the end of the line; in flow also at , [ ] { }. */
  protected plainLength(flow = false): number {
    for (let at = this.at; ; at++) {
      const char = this.text[at];
      const next = this.text[at + 1];
      const ends =
        char === undefined ||
        char === '\n' ||
        (char === ':' && (next === undefined || blank(next) || (flow && brackets.includes(next)))) ||
        (char === '#' && at > this.at && blank(this.text[at - 1]!)) ||
        (flow && brackets.includes(char));
      if (ends) return at - this.at;
    }
  }

  /** What a plain scalar cannot begin with. */
  protected refuse(char: string): void {
    const next = this.text[this.at + 1];
    const names: Record<string, string> = { '&': 'anchors (&)', '*': 'aliases (*)', '!': 'tags (!)' };
    if (Object.hasOwn(names, char)) this.fail(`${names[char]} are not read`);
    if ('@`%,]}|>#'.includes(char) || ('-?:'.includes(char) && (next === undefined || blank(next))))
      this.fail(`a value cannot begin with ${char}: put it in quotes`);
  }

  protected spaces(): void {
    while (this.text[this.at] === ' ') this.at++;
  }

  protected lineEnd(): number {
    const end = this.text.indexOf('\n', this.at);
    return end < 0 ? this.text.length : end;
  }

  protected restOfLine(): string {
    return this.text.slice(this.at, this.lineEnd());
  }

  /** Is nothing left on this line but a comment? */
  protected lineEnds(): boolean {
    const rest = this.restOfLine();
    return rest.trim() === '' || (rest.startsWith('#') && /[\s]/.test(this.text[this.at - 1] ?? '\n'));
  }

  protected endOfLine(): void {
    const blank = this.restOfLine().match(/^[ \t]*/)![0].length;
    this.at += blank;
    if (!this.lineEnds()) this.fail('expected the end of the line');
  }

  protected fail(says: string, at = this.at): never {
    const { line, column } = lineAndColumn(this.text, at);
    throw new BackdropError(this.#code, `${this.#file}:${line}:${column}: ${says}`, { details: { file: this.#file, line, column } });
  }
}

function scalarValue(text: string): YamlValue {
  if (/^(?:|~|null|Null|NULL)$/.test(text)) return null;
  if (/^(?:true|True|TRUE)$/.test(text)) return true;
  if (/^(?:false|False|FALSE)$/.test(text)) return false;
  if (/^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/.test(text) || /^0(?:o[0-7]+|x[0-9a-fA-F]+)$/.test(text)) return Number(text);
  if (/^[-+]?\.(?:inf|Inf|INF)$/.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  return /^\.(?:nan|NaN|NAN)$/.test(text) ? Number.NaN : text;
}
