// One WGSL file -> the plain object that the library imports, and its TypeScript declaration.
// Runs at build time only (plain JavaScript, so that Node 20 needs no compiler): wgsl_reflect never reaches a bundle.
import { relative } from 'node:path';
import { WgslReflect } from 'wgsl_reflect/wgsl_reflect.module.js';

/**
 * @typedef {{ name: string, binding: number, access: 'read' | 'read_write' }} Binding
 * @typedef {{ offset: number, type: 'u32' | 'i32' | 'f32' }} ParamField
 * @typedef {{
 *   name: string,
 *   code: string,
 *   bindings: Binding[],
 *   params: { binding: number, size: number, fields: Record<string, ParamField> } | null,
 *   overrides: Record<string, number | null>,
 *   entries: { name: string, workgroupSize: (number | string)[] }[],
 *   hooks: Record<string, string>,
 *   consts: string[],
 * }} ShaderModule
 */

/** A WGSL file that may not be built, with the file and the reason in the message. */
export class WgslError extends Error {
  /** @param {string} file @param {string} reason */
  constructor(file, reason) {
    super(`${relative(process.cwd(), file)}: ${reason}`);
    this.name = 'WgslError';
    this.file = file;
    this.reason = reason;
  }
}

/** Replaces comments by spaces, keeping lines and columns. WGSL's block comments nest. @param {string} source */
export function stripComments(source) {
  let out = '';
  let i = 0;
  while (i < source.length) {
    if (source.startsWith('//', i)) {
      while (i < source.length && source[i] !== '\n') {
        out += ' ';
        i++;
      }
    } else if (source.startsWith('/*', i)) {
      let depth = 0;
      do {
        if (source.startsWith('/*', i)) depth++;
        else if (source.startsWith('*/', i)) depth--;
        else {
          out += source[i] === '\n' ? '\n' : ' ';
          i++;
          continue;
        }
        out += '  ';
        i += 2;
      } while (depth > 0 && i < source.length);
    } else {
      out += source[i++];
    }
  }
  return out;
}

const isWord = (/** @type {string} */ c) => /[\p{L}\p{N}_.]/u.test(c);
const isOperator = (/** @type {string} */ c) => '+-*/%&|^<>=!~'.includes(c);

/**
 * The same program without comments and needless whitespace. A blank stays where two words or two operators would
 * join: `a - -b` must not become the token `--`.
 * @param {string} source
 */
export function minifyWgsl(source) {
  let out = '';
  let gap = false;
  for (const c of stripComments(source)) {
    if (/\s/.test(c)) {
      gap = true;
      continue;
    }
    const last = out.at(-1) ?? '';
    if (gap && last !== '' && ((isWord(last) && isWord(c)) || (isOperator(last) && isOperator(c)))) out += ' ';
    out += c;
    gap = false;
  }
  return out;
}

/** @param {string} text @returns {number | null} the value of a literal, null for anything else */
function literal(text) {
  if (text === 'true') return 1;
  if (text === 'false') return 0;
  if (!/^-?(0[xX][\da-fA-F]+[iu]?|(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[iufh]?)$/.test(text)) return null;
  return text.startsWith('0x') || text.startsWith('0X') ? Number.parseInt(text, 16) : Number.parseFloat(text);
}

/** Names that WGSL allows and wgsl_reflect 1.6.0 takes for keywords: it gets to see others. */
const falseKeywords = /\b(block|type|fallthrough|immediate|static_assert)\b/g;
const realName = (/** @type {string} */ name) => name.replace(/__word$/, '');

/**
 * Reads and checks one file.
 * @param {string} file path, for messages
 * @param {string} source
 * @param {{ name: string, minify?: boolean }} options
 * @returns {ShaderModule}
 */
export function readShader(file, source, options) {
  const bare = stripComments(source);
  const fail = (/** @type {string} */ reason) => new WgslError(file, reason);

  // wgsl_reflect reads names and literals in @workgroup_size, not expressions; ours are read below.
  const plain = bare.replace(/@workgroup_size\s*\((?:[^()]|\([^()]*\))*\)/g, '@workgroup_size(1)');
  let reflection;
  try {
    reflection = new WgslReflect(plain.replace(falseKeywords, '$&__word'));
  } catch (error) {
    throw fail(`does not parse: ${error instanceof Error ? error.message : error}`);
  }

  const entries = reflection.entry.compute.map((compute) => {
    const name = realName(compute.name);
    const attributes = bare.match(new RegExp(`([^;}]*)\\bfn\\s+${name}\\b`))?.[1] ?? '';
    const size = attributes.match(/@workgroup_size\s*\(((?:[^()]|\([^()]*\))*)\)/)?.[1];
    if (!size) throw fail(`entry ${name} has no @workgroup_size`);
    const sizes = size
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean);
    while (sizes.length < 3) sizes.push('1');
    return { name, workgroupSize: sizes.map((part) => literal(part) ?? minifyWgsl(part)) };
  });
  if (entries.length === 0) throw fail('has no compute entry point');

  const resources = [...reflection.storage, ...reflection.uniforms, ...reflection.textures, ...reflection.samplers];
  const seen = new Map();
  for (const { name, group, binding } of resources) {
    if (group !== 0) throw fail(`"${name}" is in @group(${group}); every binding belongs to @group(0)`);
    if (seen.has(binding)) throw fail(`"${name}" and "${seen.get(binding)}" both use @binding(${binding})`);
    seen.set(binding, name);
  }
  const foreign = [...reflection.textures, ...reflection.samplers][0];
  if (foreign) throw fail(`"${foreign.name}" is a texture or sampler; kernels read and write storage buffers only`);

  const bindings = reflection.storage
    .map(({ name, binding, access }) => ({ name: realName(name), binding, access: access === 'read_write' ? 'read_write' : 'read' }))
    .sort((a, b) => a.binding - b.binding);

  return {
    name: options.name,
    code: options.minify ? minifyWgsl(source) : source,
    bindings: /** @type {Binding[]} */ (bindings),
    params: readParams(reflection, fail),
    overrides: readOverrides(bare),
    entries,
    hooks: readHooks(source, bare, options.minify ?? false, fail),
    consts: readConsts(source, fail),
  };
}

/** The fields of `var<uniform> params`, with the offsets of the WGSL layout rules. */
function readParams(/** @type {WgslReflect} */ reflection, /** @type {(reason: string) => WgslError} */ fail) {
  for (const { name } of reflection.uniforms) {
    if (name !== 'params') throw fail(`uniform "${name}": a kernel has one uniform, called params`);
  }
  const params = reflection.uniforms[0];
  if (!params) return null;
  if (!params.members) throw fail('params must be a struct');
  /** @type {Record<string, ParamField>} */
  const fields = {};
  for (const { name, offset, type } of params.members) {
    if (!['u32', 'i32', 'f32'].includes(type.name)) throw fail(`params.${name} is ${type.getTypeName()}; use u32, i32 or f32 fields`);
    fields[realName(name)] = { offset, type: /** @type {ParamField['type']} */ (type.name) };
  }
  // A uniform binding is at least 16 bytes, and Chrome wants its size in multiples of 4: round up once, here.
  return { binding: params.binding, size: Math.ceil(params.size / 16) * 16, fields };
}

/**
 * Override constants a pipeline may set: the default's value, or null where one must be given. Overrides computed from
 * others (`override CELLS = TILE * 4u`) are not listed, since nobody sets them.
 */
function readOverrides(/** @type {string} */ bare) {
  /** @type {Record<string, number | null>} */
  const overrides = {};
  for (const [, name, value] of bare.matchAll(/\boverride\s+(\w+)\s*(?::[^=;]*)?(?:=\s*([^;]*?)\s*)?;/g)) {
    if (value === undefined) overrides[name] = null;
    else {
      const number = literal(value);
      if (number !== null) overrides[name] = number;
    }
  }
  return overrides;
}

/** Functions under a `// hook` line: name -> their signature exactly as it stands in the module's code, up to the brace. */
function readHooks(
  /** @type {string} */ source,
  /** @type {string} */ bare,
  /** @type {boolean} */ minify,
  /** @type {(reason: string) => WgslError} */ fail,
) {
  /** @type {Record<string, string>} */
  const hooks = {};
  for (const match of source.matchAll(/^[ \t]*\/\/ hook\b[^\n]*\n/gm)) {
    const rest = bare.slice(match.index + match[0].length);
    const signature = rest.match(/^\s*(fn\s+(\w+)[^{]*?)\s*\{/);
    if (!signature) throw fail(`"// hook" in line ${source.slice(0, match.index).split('\n').length} is not followed by a function`);
    hooks[signature[2]] = minify ? minifyWgsl(signature[1]) : signature[1];
  }
  return hooks;
}

/** Names of `const NAME: u32 = 4u; // specialise`: literals that the kernel cache may rewrite before compiling. */
function readConsts(/** @type {string} */ source, /** @type {(reason: string) => WgslError} */ fail) {
  /** @type {string[]} */
  const consts = [];
  for (const [line] of source.matchAll(/^.*\/\/ speciali[sz]e\b.*$/gm)) {
    const match = line.match(/^\s*const\s+(\w+)\s*:\s*u32\s*=\s*\d+u?\s*;/);
    if (!match) throw fail(`"${line.trim()}": only "const NAME: u32 = <number>u;" can be specialised`);
    consts.push(match[1]);
  }
  return consts;
}

/**
 * The declaration file beside which `import shader from './x.wgsl'` resolves.
 * @param {ShaderModule} shader
 * @param {string} shaderTypes module specifier of src/gpu/shader.ts as seen from the declaration
 */
export function declaration(shader, shaderTypes) {
  const record = (/** @type {[string, string][]} */ pairs, /** @type {string} */ value) =>
    pairs.length === 0 ? `Record<never, ${value}>` : `{ ${pairs.map(([key, type]) => `${key}: '${type}'`).join('; ')} }`;
  const union = (/** @type {string[]} */ names) => (names.length === 0 ? 'never' : names.map((name) => `'${name}'`).join(' | '));
  const parameters = [
    record(
      shader.bindings.map(({ name, access }) => [name, access]),
      "'read'",
    ),
    record(
      Object.entries(shader.params?.fields ?? {}).map(([name, { type }]) => [name, type]),
      "'u32'",
    ),
    union(Object.keys(shader.overrides)),
    union(Object.keys(shader.hooks)),
    union(shader.consts),
  ];
  return [
    '// Generated from the .wgsl file by esbuild.config.mjs; do not edit.',
    `import type { Shader } from '${shaderTypes}';`,
    `declare const shader: Shader<\n  ${parameters.join(',\n  ')}\n>;`,
    'export default shader;',
    '',
  ].join('\n');
}
