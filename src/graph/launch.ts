/** A kernel launch whose bindings, uniform fields, constants and hooks are checked against the shader's own by the compiler. */
import type { Access, ScalarType, Shader } from '../gpu/shader.ts';
import type { Dispatch, Tensor } from './graph.ts';

export interface Launch<B, P, O extends string, H extends string, C extends string> {
  /** Which of an operation's several launches this is. */
  label?: string;
  /** Read bindings may be left out when the kernel, as specialised, does not use them. */
  bind: { readonly [K in keyof B]?: Tensor };
  params: { readonly [K in keyof P]: number };
  constants?: { readonly [K in O]?: number };
  consts?: { readonly [K in C]?: number };
  hooks?: { readonly [K in H]?: string };
  library?: string;
  /** The type that `alias Value` stands for; the file's own when left out. */
  value?: 'f32' | 'u32' | 'vec4f' | 'vec4u';
  grid: readonly [number, number, number];
  flops?: number;
}

export function launch<
  B extends Record<string, Access>,
  P extends Record<string, ScalarType>,
  O extends string,
  H extends string,
  C extends string,
>(shader: Shader<B, P, O, H, C>, fields: Launch<B, P, O, H, C>): Dispatch {
  return { label: '', ...fields, shader: shader as unknown as Shader } as unknown as Dispatch;
}
