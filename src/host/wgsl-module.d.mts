export interface ShaderModule {
  name: string;
  code: string;
  bindings: { name: string; binding: number; access: 'read' | 'read_write' }[];
  params: { binding: number; size: number; fields: Record<string, { offset: number; type: 'u32' | 'i32' | 'f32' }> } | null;
  overrides: Record<string, number | null>;
  entries: { name: string; workgroupSize: (number | string)[] }[];
  hooks: Record<string, string>;
  consts: string[];
}
export class WgslError extends Error {
  readonly file: string;
  readonly reason: string;
}
export function stripComments(source: string): string;
export function minifyWgsl(source: string): string;
export function readShader(file: string, source: string, options: { name: string; minify?: boolean }): ShaderModule;
export function declaration(shader: ShaderModule, shaderTypes: string): string;
