/**
 * What the build derives from one WGSL file (src/host/wgsl-plugin.mjs): the text, and with wgsl_reflect its bindings, the
 * byte layout of its uniform struct, its override constants, and the functions that the graph compiler may replace.
 */
export type Access = 'read' | 'read_write';
export type ScalarType = 'u32' | 'i32' | 'f32';

export interface Shader<
  Bindings extends Record<string, Access> = Record<string, Access>,
  Params extends Record<string, ScalarType> = Record<string, ScalarType>,
  Overrides extends string = string,
  Hooks extends string = string,
  Consts extends string = string,
> {
  /** Path under shaders/ without extension, as in `gemm/registers`. */
  readonly name: string;
  readonly code: string;
  readonly bindings: readonly { readonly name: keyof Bindings & string; readonly binding: number; readonly access: Access }[];
  readonly params: {
    readonly binding: number;
    readonly size: number;
    readonly fields: Readonly<Record<keyof Params & string, { readonly offset: number; readonly type: ScalarType }>>;
  } | null;
  readonly overrides: Readonly<Record<Overrides, number | null>>;
  readonly entries: readonly { readonly name: string; readonly workgroupSize: readonly number[] }[];
  /** Functions marked `// hook`: name to signature. */
  readonly hooks: Readonly<Record<Hooks, string>>;
  /** Module constants marked `// specialise`. */
  readonly consts: readonly Consts[];
}
