/** A kernel from WGSL text at run time, for operations outside this repository; its own shaders are read when it is built. */
import { BackdropError } from '../errors.ts';
import type { Access, ScalarType, Shader } from './shader.ts';

const BINDING = /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*storage\s*(?:,\s*(read|read_write)\s*)?>\s*(\w+)\s*:/g;
const UNIFORM = /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*uniform\s*>\s*params\s*:\s*(\w+)/;

/**
 * Reads what `launch` must know from a kernel's text: storage buffers in group 0, and one uniform `params`, a struct of u32, i32
 * and f32 fields. The entry point is `main`.
 * @throws BackdropError E_INPUT for a text without them, or a field of another type
 */
export function shaderFromText(name: string, code: string): Shader {
  const bare = code.replace(/\/\/[^\n]*/g, '');
  const fail = (what: string) => new BackdropError('E_INPUT', `Kernel ${name}: ${what}.`, { details: { kernel: name } });
  const bindings = [...bare.matchAll(BINDING)].map(([, binding, access = 'read', variable]) => ({
    name: variable,
    binding: Number(binding),
    access: access as Access,
  }));
  if (bindings.length === 0) throw fail('there is no storage buffer in @group(0)');
  const size = /@workgroup_size\(([^)]*)\)\s*fn\s+main\b/.exec(bare);
  if (!size) throw fail('there is no entry point main with a @workgroup_size');
  return {
    name,
    code,
    bindings: bindings.sort((a, b) => a.binding - b.binding),
    params: paramsOf(bare, fail),
    overrides: {},
    entries: [{ name: 'main', workgroupSize: size[1].split(',').map(Number) }],
    hooks: {},
    consts: [],
  };
}

function paramsOf(bare: string, fail: (what: string) => BackdropError): Shader['params'] {
  const uniform = UNIFORM.exec(bare);
  if (!uniform) return null;
  const [, binding, struct] = uniform;
  const body = new RegExp(`struct\\s+${struct}\\s*\\{([^}]*)\\}`).exec(bare)?.[1];
  if (body === undefined) throw fail(`there is no struct ${struct}`);
  const lines = body
    .split(',')
    .map((line) => line.trim())
    .filter(Boolean);
  const fields = lines.map((line, i): [string, { offset: number; type: ScalarType }] => {
    const [, field, type] = /^(\w+)\s*:\s*(u32|i32|f32)$/.exec(line) ?? [];
    if (!field) throw fail(`the field "${line}" of ${struct} is not a u32, i32 or f32`);
    return [field, { offset: 4 * i, type: type as ScalarType }];
  });
  return { binding: Number(binding), size: Math.ceil((4 * lines.length) / 16) * 16, fields: Object.fromEntries(fields) };
}
