/** The entries of a model's state dictionary: declared once, when layers are constructed, under PyTorch's names. */

/** param: trained; frozen-param: a parameter that gets no gradient; buffer: statistics and constants. */
export type ParameterKind = 'param' | 'frozen-param' | 'buffer';
export type ParameterType = 'float32' | 'int64' | 'bool';

export interface ParameterInfo {
  readonly shape: readonly number[];
  readonly dtype: ParameterType;
  readonly kind: ParameterKind;
}

/** Name to entry, in the order of PyTorch's state_dict. */
export class ParameterTable extends Map<string, ParameterInfo> {
  /** Numbers in trained and frozen parameters (buffers do not count), as `sum(p.numel() for p in model.parameters())`. */
  get parameterCount(): number {
    return this.#count((kind) => kind !== 'buffer');
  }

  get trainableCount(): number {
    return this.#count((kind) => kind === 'param');
  }

  #count(wanted: (kind: ParameterKind) => boolean): number {
    let total = 0;
    for (const { shape, kind } of this.values()) if (wanted(kind)) total += shape.reduce((a, b) => a * b, 1);
    return total;
  }
}

/** Where a layer stands in the module tree: it declares its entries under this prefix. */
export class Scope {
  readonly table: ParameterTable;
  readonly prefix: string;
  /** What `declare` calls a parameter that is not a buffer: layers of a frozen part are constructed unchanged. */
  readonly frozen: boolean;

  constructor(table: ParameterTable, prefix = '', frozen = false) {
    this.table = table;
    this.prefix = prefix;
    this.frozen = frozen;
  }

  child(name: string | number): Scope {
    return new Scope(this.table, this.name(String(name)), this.frozen);
  }

  /** The same place, with parameters that get no gradient. */
  frozenWhen(frozen: boolean): Scope {
    return new Scope(this.table, this.prefix, this.frozen || frozen);
  }

  name(local: string): string {
    return this.prefix ? `${this.prefix}.${local}` : local;
  }

  /** Adds an entry and returns its full name. */
  declare(local: string, shape: readonly number[], kind: ParameterKind = 'param', dtype: ParameterType = 'float32'): string {
    const name = this.name(local);
    if (this.table.has(name)) throw new RangeError(`${name} is declared twice`);
    this.table.set(name, { shape, dtype, kind: kind === 'param' && this.frozen ? 'frozen-param' : kind });
    return name;
  }
}
