// Second stage of attention's gradient for software adapters with subgroups, from the rows of scores that
// attention/gradient-queries-quads.wgsl leaves: for every key and head
//
//   dv = sum over queries i of p[i] * g[i],   dk = scale * sum over i of change[i] * q[i]
//
// two products of the same form, which two halves of the grid compute. dk and dv lie in one array, dv_distance vec4f apart in
// every row.
//
// Each thread holds 16 keys x 4 columns and takes 4 queries a step, as conv2d-gradient/weight-quads.wgsl does: the four lanes of a
// quad share the 16 keys; a lane loads one vec4f of them for each query and gets the other three by quad swaps, its
// accumulators 4 j .. 4 j + 3 belonging to the keys that lane ^ j loads. Past the last query it is read again and counts as zero.
//
// Grid: x = ceil(keys / (16 * (64 / COLUMN_LANES))), y = heads * ceil(HEAD4 / COLUMN_LANES), z = 2 * sequences (dv first).
// COLUMN_LANES: 4 or 8.

enable subgroups;

override COLUMN_LANES: u32 = 8u;

const HEAD4: u32 = 8u; // specialise: a head's columns / 4

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  scale: f32,
  rows: u32, // of a head's scores: queries, filled up to whole workgroups
  keys4: u32, // vec4f of a row of scores: keys / 4, filled up to whole steps
  q_offset: u32, // q, k, v, g and the gradients in vec4f
  q_pitch: u32, // from one row to the next
  q_batch: u32, // from one image to the next
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  dk_offset: u32,
  dk_pitch: u32,
  dk_batch: u32,
  dv_distance: u32, // from dk's columns to dv's
  mask_offset: u32, // in scalars; the mask serves the hooks' library alone
  mask_pitch: u32,
  window: u32, // side of a window; this and the rest only for windows
  padding_offset: u32, // in scalars
  padding_pitch: u32,
  padding_batch: u32,
  shift: u32,
  map_height: u32,
  map_width: u32,
  windows_x: u32, // windows side by side, and below each other
  windows_y: u32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read> padding: array<f32>;
@group(0) @binding(4) var<storage, read> scores: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> dk: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

// A token of a sequence: its row in its image. The rest is for windows: its cell in the table of relative positions, its
// region, what hides it as a key, and whether it lies in the map.
struct Token {
  image: u32,
  row: u32,
  cell: u32,
  region: u32,
  hidden: f32,
  inside: bool,
}

// hook
fn locate(sequence: u32, index: u32) -> Token { return Token(sequence, index, 0u, 0u, 0.0, true); }

// Where a query's row of g, or of q, begins.
fn row_of(sequence: u32, index: u32, values: bool) -> u32 {
  let query = locate(sequence, index);
  return select(
    params.q_offset + query.image * params.q_batch + query.row * params.q_pitch,
    params.g_offset + query.image * params.g_batch + query.row * params.g_pitch,
    values,
  );
}

fn load(at: u32, values: bool) -> vec4f {
  if (values) { return g[at]; }
  return q[at];
}

// Four keys' results in one vec4f of columns.
fn store(sequence: u32, first: u32, column: u32, v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f) {
  let all = mat4x4f(v0, v1, v2, v3);
  for (var i = 0u; i < 4u; i++) {
    let key = locate(sequence, min(first + i, params.keys - 1u));
    if ((first + i < params.keys) & key.inside) {
      dk[params.dk_offset + key.image * params.dk_batch + key.row * params.dk_pitch + column] = all[i];
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let sequence = group.z / 2u;
  let values = group.z % 2u == 0u;
  let blocks = (HEAD4 + COLUMN_LANES - 1u) / COLUMN_LANES;
  let head = group.y / blocks;
  let lane = local % 4u;
  let tile = group.x * (64u / COLUMN_LANES) + local / COLUMN_LANES; // of 16 keys
  let column = group.y % blocks * COLUMN_LANES + local % COLUMN_LANES;
  let c = head * HEAD4 + min(column, HEAD4 - 1u);
  let four = min(tile * 4u + lane, params.keys4 - 1u); // reads stay inside; only real keys are stored
  let last = params.queries - 1u;
  let pitch = 2u * params.keys4;
  let row = (sequence * params.heads + head) * params.rows * pitch + select(params.keys4, 0u, values) + four;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  var s4 = vec4f();
  var s5 = vec4f();
  var s6 = vec4f();
  var s7 = vec4f();
  var s8 = vec4f();
  var s9 = vec4f();
  var s10 = vec4f();
  var s11 = vec4f();
  var s12 = vec4f();
  var s13 = vec4f();
  var s14 = vec4f();
  var s15 = vec4f();
  for (var i = 0u; i < params.queries; i += 4u) {
    let i1 = min(i + 1u, last);
    let i2 = min(i + 2u, last);
    let i3 = min(i + 3u, last);
    let x0 = scores[row + i * pitch];
    let x1 = scores[row + i1 * pitch];
    let x2 = scores[row + i2 * pitch];
    let x3 = scores[row + i3 * pitch];
    let g0 = mat4x4f(
      load(row_of(sequence, i, values) + c, values),
      select(vec4f(), load(row_of(sequence, i1, values) + c, values), i + 1u <= last),
      select(vec4f(), load(row_of(sequence, i2, values) + c, values), i + 2u <= last),
      select(vec4f(), load(row_of(sequence, i3, values) + c, values), i + 3u <= last),
    );
    let v0 = vec4f(x0.x, x1.x, x2.x, x3.x);
    let v1 = vec4f(x0.y, x1.y, x2.y, x3.y);
    let v2 = vec4f(x0.z, x1.z, x2.z, x3.z);
    let v3 = vec4f(x0.w, x1.w, x2.w, x3.w);
    s0 += g0 * v0;
    s1 += g0 * v1;
    s2 += g0 * v2;
    s3 += g0 * v3;
    s4 += g0 * quadSwapX(v0);
    s5 += g0 * quadSwapX(v1);
    s6 += g0 * quadSwapX(v2);
    s7 += g0 * quadSwapX(v3);
    s8 += g0 * quadSwapY(v0);
    s9 += g0 * quadSwapY(v1);
    s10 += g0 * quadSwapY(v2);
    s11 += g0 * quadSwapY(v3);
    s12 += g0 * quadSwapDiagonal(v0);
    s13 += g0 * quadSwapDiagonal(v1);
    s14 += g0 * quadSwapDiagonal(v2);
    s15 += g0 * quadSwapDiagonal(v3);
  }
  if (column < HEAD4) {
    let factor = select(params.scale, 1.0, values);
    let sink = c + select(0u, params.dv_distance, values);
    store(sequence, 16u * tile + 4u * (0u ^ lane), sink, s0 * factor, s1 * factor, s2 * factor, s3 * factor);
    store(sequence, 16u * tile + 4u * (1u ^ lane), sink, s4 * factor, s5 * factor, s6 * factor, s7 * factor);
    store(sequence, 16u * tile + 4u * (2u ^ lane), sink, s8 * factor, s9 * factor, s10 * factor, s11 * factor);
    store(sequence, 16u * tile + 4u * (3u ^ lane), sink, s12 * factor, s13 * factor, s14 * factor, s15 * factor);
  }
}
