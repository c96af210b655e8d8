// Attention in registers: y[query] = sum over keys j of softmax_j(q[query] . k[j] * scale + bias) * v[j].
//
// For every image and head; head h owns columns h * D .. h * D + D - 1 of q, k, v and y. The softmax runs online: a block of
// keys at a time, the sums so far rescaled whenever a larger score appears. Scores are finite: what may not be seen is
// masked by a large negative bias such as -1e9, and a query whose keys are all masked gives some finite value.
//
// D is a multiple of 4, everything in vec4f. This variant: no barriers and no workgroup memory, for software adapters, and for
// heads too wide for the workgroup kernel. A thread holds 4 queries times CHUNK vec4f of y in registers and takes 8 keys a
// step. Loads are what software adapters spend their time on, so the four lanes of a quad share them: each loads one key of
// four (and its value) and gets the others by quad swaps. Swapping with lane ^ j gives the key of lane ^ j: the lanes see the
// same four keys in different orders, and only bias and the test for the last key need to know. Four threads with
// consecutive indices, from a multiple of four, must form a quad (they do on every known driver, and the start-up self-test
// proves it). Heads wider than 8 vec4f are cut into column chunks, each of which computes its scores again.
//
// Grid: x = ceil(queries / (4 * THREADS)), y = heads * ceil(HEAD4 / CHUNK), z = sequences (images, or windows of images).
//
// Hooks: locate says which row of which image token `index` of a sequence is; bias is added to a score. The graph compiler
// replaces their bodies: a mask reads `mask`, windows cut the sequences out of maps (src/ops/window-attention.ts).

enable subgroups;

override THREADS: u32 = 32u; // a workgroup's; a multiple of 4

const HEAD4: u32 = 8u; // specialise: D / 4
const CHUNK: u32 = 8u; // specialise: vec4f columns of y a thread owns, at most 8

const NEVER = -3e38; // the score of keys past the last one

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  scale: f32,
  q_offset: u32, // q, k, v, y in vec4f
  q_pitch: u32, // from one row to the next
  q_batch: u32, // from one image to the next
  k_offset: u32,
  k_pitch: u32,
  k_batch: u32,
  v_offset: u32,
  v_pitch: u32,
  v_batch: u32,
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
  mask_offset: u32, // in scalars
  mask_pitch: u32, // from one query to the next; 0 where all queries share a row
  mask_head: u32, // from one head to the next; 0 where all heads share it
  mask_batch: u32,
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
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read> mask: array<f32>;
@group(0) @binding(5) var<storage, read> padding: array<f32>;
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

// hook
fn bias(head: u32, query: Token, key: Token) -> f32 { return 0.0; }

fn dot_add(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

// The four products of a query with the four keys of a quad.
fn scores_add(a: vec4f, b: mat4x4f, sum: vec4f) -> vec4f {
  return vec4f(dot_add(a, b[0], sum.x), dot_add(a, b[1], sum.y), dot_add(a, b[2], sum.z), dot_add(a, b[3], sum.w));
}

// A lane's own vector and those of its neighbours lane ^ 1, lane ^ 2, lane ^ 3.
fn quad(a: vec4f) -> mat4x4f {
  return mat4x4f(a, quadSwapX(a), quadSwapY(a), quadSwapDiagonal(a));
}

fn row_of_key(key: Token) -> u32 {
  return params.k_offset + key.image * params.k_batch + key.row * params.k_pitch;
}

fn row_of_value(key: Token) -> u32 {
  return params.v_offset + key.image * params.v_batch + key.row * params.v_pitch;
}

// Four scores, scaled and with their bias; keys past the last one get none.
fn finish(s: vec4f, head: u32, query: Token, key0: Token, key1: Token, key2: Token, key3: Token, real: vec4<bool>) -> vec4f {
  let extra = vec4f(bias(head, query, key0), bias(head, query, key1), bias(head, query, key2), bias(head, query, key3));
  return select(vec4f(NEVER), fma(s, vec4f(params.scale), extra), real);
}

fn highest(a: vec4f) -> f32 {
  return max(max(a.x, a.y), max(a.z, a.w));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let sequence = group.z;
  let head = group.y % params.heads;
  let first = (group.x * THREADS + local) * 4u; // threads past the last query repeat it: a quad stays whole
  let lane = local % 4u;
  let column = head * HEAD4;
  let chunk = column + group.y / params.heads * CHUNK;
  let last_query = params.queries - 1u;
  let last_key = params.keys - 1u;
  let query0 = locate(sequence, min(first + 0u, last_query));
  let query1 = locate(sequence, min(first + 1u, last_query));
  let query2 = locate(sequence, min(first + 2u, last_query));
  let query3 = locate(sequence, min(first + 3u, last_query));
  let q0 = params.q_offset + query0.image * params.q_batch + query0.row * params.q_pitch + column;
  let q1 = params.q_offset + query1.image * params.q_batch + query1.row * params.q_pitch + column;
  let q2 = params.q_offset + query2.image * params.q_batch + query2.row * params.q_pitch + column;
  let q3 = params.q_offset + query3.image * params.q_batch + query3.row * params.q_pitch + column;
  var largest = vec4f(NEVER); // of the scores so far, one component a query
  var sum = vec4f();
  var y0_0 = vec4f();
  var y0_1 = vec4f();
  var y0_2 = vec4f();
  var y0_3 = vec4f();
  var y0_4 = vec4f();
  var y0_5 = vec4f();
  var y0_6 = vec4f();
  var y0_7 = vec4f();
  var y1_0 = vec4f();
  var y1_1 = vec4f();
  var y1_2 = vec4f();
  var y1_3 = vec4f();
  var y1_4 = vec4f();
  var y1_5 = vec4f();
  var y1_6 = vec4f();
  var y1_7 = vec4f();
  var y2_0 = vec4f();
  var y2_1 = vec4f();
  var y2_2 = vec4f();
  var y2_3 = vec4f();
  var y2_4 = vec4f();
  var y2_5 = vec4f();
  var y2_6 = vec4f();
  var y2_7 = vec4f();
  var y3_0 = vec4f();
  var y3_1 = vec4f();
  var y3_2 = vec4f();
  var y3_3 = vec4f();
  var y3_4 = vec4f();
  var y3_5 = vec4f();
  var y3_6 = vec4f();
  var y3_7 = vec4f();
  for (var start = 0u; start < params.keys; start += 8u) {
    let key0_0 = locate(sequence, min(start + 0u + lane, last_key));
    let key1_0 = locate(sequence, min(start + 4u + lane, last_key));
    let k0 = row_of_key(key0_0) + column;
    let k1 = row_of_key(key1_0) + column;
    let v0 = row_of_value(key0_0) + chunk;
    let v1 = row_of_value(key1_0) + chunk;
    // s{query}_{four}: scores of four keys
    var s0_0 = vec4f();
    var s0_1 = vec4f();
    var s1_0 = vec4f();
    var s1_1 = vec4f();
    var s2_0 = vec4f();
    var s2_1 = vec4f();
    var s3_0 = vec4f();
    var s3_1 = vec4f();
    for (var c = 0u; c < HEAD4; c++) {
      let a0 = q[q0 + c];
      let a1 = q[q1 + c];
      let a2 = q[q2 + c];
      let a3 = q[q3 + c];
      let b0 = quad(k[k0 + c]);
      let b1 = quad(k[k1 + c]);
      s0_0 = scores_add(a0, b0, s0_0);
      s0_1 = scores_add(a0, b1, s0_1);
      s1_0 = scores_add(a1, b0, s1_0);
      s1_1 = scores_add(a1, b1, s1_1);
      s2_0 = scores_add(a2, b0, s2_0);
      s2_1 = scores_add(a2, b1, s2_1);
      s3_0 = scores_add(a3, b0, s3_0);
      s3_1 = scores_add(a3, b1, s3_1);
    }
    let key0_1 = locate(sequence, min(start + 0u + (lane ^ 1u), last_key));
    let key0_2 = locate(sequence, min(start + 0u + (lane ^ 2u), last_key));
    let key0_3 = locate(sequence, min(start + 0u + (lane ^ 3u), last_key));
    let key1_1 = locate(sequence, min(start + 4u + (lane ^ 1u), last_key));
    let key1_2 = locate(sequence, min(start + 4u + (lane ^ 2u), last_key));
    let key1_3 = locate(sequence, min(start + 4u + (lane ^ 3u), last_key));
    let real0 = vec4u(start + 0u) + (vec4u(lane) ^ vec4u(0u, 1u, 2u, 3u)) < vec4u(params.keys);
    let real1 = vec4u(start + 4u) + (vec4u(lane) ^ vec4u(0u, 1u, 2u, 3u)) < vec4u(params.keys);
    s0_0 = finish(s0_0, head, query0, key0_0, key0_1, key0_2, key0_3, real0);
    s0_1 = finish(s0_1, head, query0, key1_0, key1_1, key1_2, key1_3, real1);
    s1_0 = finish(s1_0, head, query1, key0_0, key0_1, key0_2, key0_3, real0);
    s1_1 = finish(s1_1, head, query1, key1_0, key1_1, key1_2, key1_3, real1);
    s2_0 = finish(s2_0, head, query2, key0_0, key0_1, key0_2, key0_3, real0);
    s2_1 = finish(s2_1, head, query2, key1_0, key1_1, key1_2, key1_3, real1);
    s3_0 = finish(s3_0, head, query3, key0_0, key0_1, key0_2, key0_3, real0);
    s3_1 = finish(s3_1, head, query3, key1_0, key1_1, key1_2, key1_3, real1);
    let high = max(largest, vec4f(highest(max(s0_0, s0_1)), highest(max(s1_0, s1_1)), highest(max(s2_0, s2_1)), highest(max(s3_0, s3_1))));
    let shrink = exp(largest - high);
    largest = high;
    s0_0 = exp(s0_0 - high.x);
    s0_1 = exp(s0_1 - high.x);
    s1_0 = exp(s1_0 - high.y);
    s1_1 = exp(s1_1 - high.y);
    s2_0 = exp(s2_0 - high.z);
    s2_1 = exp(s2_1 - high.z);
    s3_0 = exp(s3_0 - high.w);
    s3_1 = exp(s3_1 - high.w);
    sum *= shrink;
    sum.x += dot(s0_0 + s0_1, vec4f(1.0));
    sum.y += dot(s1_0 + s1_1, vec4f(1.0));
    sum.z += dot(s2_0 + s2_1, vec4f(1.0));
    sum.w += dot(s3_0 + s3_1, vec4f(1.0));
    y0_0 *= shrink.x;
    y0_1 *= shrink.x;
    y0_2 *= shrink.x;
    y0_3 *= shrink.x;
    y0_4 *= shrink.x;
    y0_5 *= shrink.x;
    y0_6 *= shrink.x;
    y0_7 *= shrink.x;
    y1_0 *= shrink.y;
    y1_1 *= shrink.y;
    y1_2 *= shrink.y;
    y1_3 *= shrink.y;
    y1_4 *= shrink.y;
    y1_5 *= shrink.y;
    y1_6 *= shrink.y;
    y1_7 *= shrink.y;
    y2_0 *= shrink.z;
    y2_1 *= shrink.z;
    y2_2 *= shrink.z;
    y2_3 *= shrink.z;
    y2_4 *= shrink.z;
    y2_5 *= shrink.z;
    y2_6 *= shrink.z;
    y2_7 *= shrink.z;
    y3_0 *= shrink.w;
    y3_1 *= shrink.w;
    y3_2 *= shrink.w;
    y3_3 *= shrink.w;
    y3_4 *= shrink.w;
    y3_5 *= shrink.w;
    y3_6 *= shrink.w;
    y3_7 *= shrink.w;
    for (var four = 0u; four < 2u; four++) {
      let b = select(v0, v1, four == 1u);
      let p0 = select(s0_0, s0_1, four == 1u);
      let p1 = select(s1_0, s1_1, four == 1u);
      let p2 = select(s2_0, s2_1, four == 1u);
      let p3 = select(s3_0, s3_1, four == 1u);
      if (CHUNK > 0u) {
        let w = quad(v[b + 0u]);
        y0_0 += w * p0;
        y1_0 += w * p1;
        y2_0 += w * p2;
        y3_0 += w * p3;
      }
      if (CHUNK > 1u) {
        let w = quad(v[b + 1u]);
        y0_1 += w * p0;
        y1_1 += w * p1;
        y2_1 += w * p2;
        y3_1 += w * p3;
      }
      if (CHUNK > 2u) {
        let w = quad(v[b + 2u]);
        y0_2 += w * p0;
        y1_2 += w * p1;
        y2_2 += w * p2;
        y3_2 += w * p3;
      }
      if (CHUNK > 3u) {
        let w = quad(v[b + 3u]);
        y0_3 += w * p0;
        y1_3 += w * p1;
        y2_3 += w * p2;
        y3_3 += w * p3;
      }
      if (CHUNK > 4u) {
        let w = quad(v[b + 4u]);
        y0_4 += w * p0;
        y1_4 += w * p1;
        y2_4 += w * p2;
        y3_4 += w * p3;
      }
      if (CHUNK > 5u) {
        let w = quad(v[b + 5u]);
        y0_5 += w * p0;
        y1_5 += w * p1;
        y2_5 += w * p2;
        y3_5 += w * p3;
      }
      if (CHUNK > 6u) {
        let w = quad(v[b + 6u]);
        y0_6 += w * p0;
        y1_6 += w * p1;
        y2_6 += w * p2;
        y3_6 += w * p3;
      }
      if (CHUNK > 7u) {
        let w = quad(v[b + 7u]);
        y0_7 += w * p0;
        y1_7 += w * p1;
        y2_7 += w * p2;
        y3_7 += w * p3;
      }
    }
  }

  let columns = min(CHUNK, column + HEAD4 - chunk);
  if ((first + 0u <= last_query) & query0.inside) {
    let row = params.y_offset + query0.image * params.y_batch + query0.row * params.y_pitch + chunk;
    let scale = 1.0 / sum.x;
    if (columns > 0u) { y[row + 0u] = y0_0 * scale; }
    if (columns > 1u) { y[row + 1u] = y0_1 * scale; }
    if (columns > 2u) { y[row + 2u] = y0_2 * scale; }
    if (columns > 3u) { y[row + 3u] = y0_3 * scale; }
    if (columns > 4u) { y[row + 4u] = y0_4 * scale; }
    if (columns > 5u) { y[row + 5u] = y0_5 * scale; }
    if (columns > 6u) { y[row + 6u] = y0_6 * scale; }
    if (columns > 7u) { y[row + 7u] = y0_7 * scale; }
  }
  if ((first + 1u <= last_query) & query1.inside) {
    let row = params.y_offset + query1.image * params.y_batch + query1.row * params.y_pitch + chunk;
    let scale = 1.0 / sum.y;
    if (columns > 0u) { y[row + 0u] = y1_0 * scale; }
    if (columns > 1u) { y[row + 1u] = y1_1 * scale; }
    if (columns > 2u) { y[row + 2u] = y1_2 * scale; }
    if (columns > 3u) { y[row + 3u] = y1_3 * scale; }
    if (columns > 4u) { y[row + 4u] = y1_4 * scale; }
    if (columns > 5u) { y[row + 5u] = y1_5 * scale; }
    if (columns > 6u) { y[row + 6u] = y1_6 * scale; }
    if (columns > 7u) { y[row + 7u] = y1_7 * scale; }
  }
  if ((first + 2u <= last_query) & query2.inside) {
    let row = params.y_offset + query2.image * params.y_batch + query2.row * params.y_pitch + chunk;
    let scale = 1.0 / sum.z;
    if (columns > 0u) { y[row + 0u] = y2_0 * scale; }
    if (columns > 1u) { y[row + 1u] = y2_1 * scale; }
    if (columns > 2u) { y[row + 2u] = y2_2 * scale; }
    if (columns > 3u) { y[row + 3u] = y2_3 * scale; }
    if (columns > 4u) { y[row + 4u] = y2_4 * scale; }
    if (columns > 5u) { y[row + 5u] = y2_5 * scale; }
    if (columns > 6u) { y[row + 6u] = y2_6 * scale; }
    if (columns > 7u) { y[row + 7u] = y2_7 * scale; }
  }
  if ((first + 3u <= last_query) & query3.inside) {
    let row = params.y_offset + query3.image * params.y_batch + query3.row * params.y_pitch + chunk;
    let scale = 1.0 / sum.w;
    if (columns > 0u) { y[row + 0u] = y3_0 * scale; }
    if (columns > 1u) { y[row + 1u] = y3_1 * scale; }
    if (columns > 2u) { y[row + 2u] = y3_2 * scale; }
    if (columns > 3u) { y[row + 3u] = y3_3 * scale; }
    if (columns > 4u) { y[row + 4u] = y3_4 * scale; }
    if (columns > 5u) { y[row + 5u] = y3_5 * scale; }
    if (columns > 6u) { y[row + 6u] = y3_6 * scale; }
    if (columns > 7u) { y[row + 7u] = y3_7 * scale; }
  }
}
