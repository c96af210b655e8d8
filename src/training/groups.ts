/** Parameter groups by name, as the official configurations write them. */
import { BackdropError } from '../errors.ts';

export interface GroupRule {
  /** Regular expression that is searched in parameter names. */
  pattern: string;
  /** The base rate when left out. */
  rate?: number;
  /** The base decay when left out. */
  decay?: number;
}

export interface ParameterGroup {
  /** Null: what no rule names. */
  readonly pattern: string | null;
  readonly rate: number;
  readonly decay: number;
  readonly names: readonly string[];
}

export interface GroupOptions {
  rate: number;
  decay: number;
  rules?: readonly GroupRule[];
}

/**
 * Sorts trained parameters into one group a rule, in the rules' order, and one for the rest where something is left.
 * A name that several rules match belongs to the first; `notes` says so.
 * @throws BackdropError E_INPUT for a pattern that is no regular expression or that matches no name
 */
export function parameterGroups(names: readonly string[], options: GroupOptions): { groups: ParameterGroup[]; notes: string[] } {
  const left = new Set(names);
  const notes: string[] = [];
  const groups: ParameterGroup[] = [];
  for (const { pattern, rate = options.rate, decay = options.decay } of options.rules ?? []) {
    const expression = compile(pattern);
    const matched = names.filter((name) => expression.test(name));
    if (matched.length === 0) {
      throw new BackdropError('E_INPUT', `The parameter pattern ${pattern} matches no trained parameter.`, {
        hint: `Names look like ${names.slice(0, 3).join(', ')}. Frozen parameters are not trained and match nothing.`,
        details: { pattern },
      });
    }
    const own = matched.filter((name) => left.has(name));
    const taken = matched.filter((name) => !left.has(name));
    if (taken.length > 0) {
      const others = taken.length > 1 ? ` and ${taken.length - 1} more` : '';
      notes.push(`Pattern ${pattern} also matches ${taken[0]}${others}, which an earlier pattern has: the first one counts.`);
    }
    for (const name of own) left.delete(name);
    groups.push({ pattern, rate, decay, names: own });
  }
  if (left.size > 0) groups.push({ pattern: null, rate: options.rate, decay: options.decay, names: [...left] });
  return { groups, notes };
}

function compile(pattern: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (cause) {
    throw new BackdropError('E_INPUT', `The parameter pattern ${pattern} is no regular expression.`, { cause, details: { pattern } });
  }
}
