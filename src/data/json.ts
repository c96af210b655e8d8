/**
 * JSON with errors that name the place. JSON.parse reads it; where that fails, a scan finds line and column, and mends the one
 * thing that Python writes and JSON does not know: NaN and Infinity become null.
 */
import { BackdropError } from '../errors.ts';

export interface ParsedJson {
  readonly value: unknown;
  /** Lines of the first NaN and Infinity that became null, and how many there were. */
  readonly mended: { readonly count: number; readonly line: number } | undefined;
}

/** @throws BackdropError E_DATA with file, line, column and the text around */
export function parseJson(text: string, file: string): ParsedJson {
  try {
    return { value: JSON.parse(text), mended: undefined };
  } catch {
    const scan = scanJson(text);
    if (scan.error === undefined && scan.numbers.length > 0) {
      const mended = mend(text, scan.numbers);
      return { value: JSON.parse(mended), mended: { count: scan.numbers.length, line: lineAndColumn(text, scan.numbers[0]!.start).line } };
    }
    const { at, says } = scan.error ?? { at: text.length, says: 'this is no JSON' };
    const { line, column } = lineAndColumn(text, at);
    const around = JSON.stringify(text.slice(Math.max(0, at - 20), at + 20));
    throw new BackdropError('E_DATA', `${file}:${line}:${column}: broken JSON: ${says}, near ${around}`, {
      details: { file, line, column },
    });
  }
}

/** Both counted from 1. */
export function lineAndColumn(text: string, at: number): { line: number; column: number } {
  let line = 1;
  let start = 0;
  for (let next = text.indexOf('\n'); next >= 0 && next < at; next = text.indexOf('\n', start)) {
    line++;
    start = next + 1;
  }
  return { line, column: at - start + 1 };
}

interface Span {
  readonly start: number;
  readonly end: number;
}

function mend(text: string, spans: readonly Span[]): string {
  const parts: string[] = [];
  let from = 0;
  for (const { start, end } of spans) {
    parts.push(text.slice(from, start), 'null');
    from = end;
  }
  return parts.join('') + text.slice(from);
}

const space = /[ \t\n\r]*/y;
const atom = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
const nonNumber = /(?:NaN|-?Infinity)(?![\w.+-])/y;

/** Walks the tokens of RFC 8259 with a stack of its own: depth costs no call frames. */
function scanJson(text: string): { error?: { at: number; says: string }; numbers: Span[] } {
  const numbers: Span[] = [];
  const open: ('{' | '[')[] = [];
  let at = 0;
  const skip = (token: RegExp): boolean => {
    token.lastIndex = at;
    const found = token.test(text);
    if (found) at = token.lastIndex;
    return found;
  };
  const fail = (says: string) => ({
    error: { at, says: at >= text.length ? `the text ends where ${says} was expected` : `expected ${says}` },
    numbers,
  });
  // Character by character: a text may be as long as the file, and a regular expression's stack is not.
  const string = (): boolean => {
    if (text[at] !== '"') return false;
    for (at++; at < text.length && text.charCodeAt(at) >= 0x20; at++) {
      if (text[at] === '"') {
        at++;
        return true;
      }
      if (text[at] === '\\') {
        const escaped = text[at + 1];
        if (escaped === 'u' ? !/^[0-9a-f]{4}$/i.test(text.slice(at + 2, at + 6)) : !escaped || !'"\\/bfnrt'.includes(escaped)) return false;
        at += escaped === 'u' ? 5 : 1;
      }
    }
    return false;
  };
  const key = (): boolean => {
    if (!string()) return false;
    skip(space);
    const colon = text[at] === ':';
    if (colon) at++;
    return colon;
  };

  for (;;) {
    // A value begins here.
    skip(space);
    const char = text[at];
    if (char === '{' || char === '[') {
      at++;
      skip(space);
      const close = char === '{' ? '}' : ']';
      if (text[at] !== close) {
        open.push(char);
        if (char === '{' && !key()) return fail('"name":');
        continue;
      }
      at++;
    } else if (char === '"') {
      if (!string()) return fail('a closed string without bare control characters');
    } else {
      const start = at;
      if (skip(nonNumber)) numbers.push({ start, end: at });
      else if (!skip(atom)) return fail('a value');
    }
    // A value has ended: what is open goes on or closes.
    for (;;) {
      skip(space);
      const inside = open.at(-1);
      if (inside === undefined) return at < text.length ? fail('the end of the text') : { numbers };
      if (text[at] === ',') {
        at++;
        skip(space);
        if (inside === '{' && !key()) return fail('"name":');
        break;
      }
      if (text[at] !== (inside === '{' ? '}' : ']')) return fail(inside === '{' ? '"," or "}"' : '"," or "]"');
      open.pop();
      at++;
    }
  }
}
