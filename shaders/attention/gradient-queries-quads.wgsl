// First stage of attention's gradient for software adapters with subgroups; the mathematics is that of attention/gradient-queries.wgsl:
//
//   score[j] = q . k[j] * scale + bias,  p = softmax of the scores,  d[j] = g . v[j],  mean = sum over keys j of p[j] * d[j]
//   change[j] = p[j] * (d[j] - mean),    dq = scale * sum over j of change[j] * k[j]
//
// Nothing is computed twice: the first pass over the keys writes scores and d down, the second turns them into p and change, which
// the second stage (attention/gradient-keys-quads.wgsl) reads. A row of them is keys4 vec4f of p, then as many of change.
//
// As in attention/quads.wgsl a thread takes 4 queries and 8 keys a step, and the four lanes of a quad share their loads: each
// loads one key of four, and lane ^ j gives the others. So a lane sees four keys in an order of its own, and puts them into
// their order when it writes. Heads have at most 8 vec4f; hooks are those of the forward. Threads past the last query repeat
// it, in rows of scores of their own, so that a quad stays whole.
//
// Grid: x = ceil(queries / (4 * THREADS)), y = heads, z = sequences (images, or windows of images).

enable subgroups;

override THREADS: u32 = 32u; // a workgroup's; a multiple of 4

const HEAD4: u32 = 8u; // specialise: a head's columns / 4, at most 8

const NEVER = -3e38; // the score of keys past the last one

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
  k_offset: u32,
  k_pitch: u32,
  k_batch: u32,
  v_offset: u32,
  v_pitch: u32,
  v_batch: u32,
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  dq_offset: u32,
  dq_pitch: u32,
  dq_batch: u32,
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
@group(0) @binding(3) var<storage, read> g: array<vec4f>;
@group(0) @binding(4) var<storage, read> mask: array<f32>;
@group(0) @binding(5) var<storage, read> padding: array<f32>;
@group(0) @binding(6) var<storage, read_write> dq: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> scores: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

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
fn products_add(a: vec4f, b: mat4x4f, sum: vec4f) -> vec4f {
  return vec4f(dot_add(a, b[0], sum.x), dot_add(a, b[1], sum.y), dot_add(a, b[2], sum.z), dot_add(a, b[3], sum.w));
}

// A lane's own vector and those of its neighbours lane ^ 1, lane ^ 2, lane ^ 3.
fn quad(a: vec4f) -> mat4x4f {
  return mat4x4f(a, quadSwapX(a), quadSwapY(a), quadSwapDiagonal(a));
}

// From a lane's order of four keys to theirs, and back.
fn reorder(a: vec4f, lane: u32) -> vec4f {
  let pairs = select(a, a.yxwz, (lane & 1u) == 1u);
  return select(pairs, pairs.zwxy, (lane & 2u) == 2u);
}

fn row_of_key(key: Token) -> u32 {
  return params.k_offset + key.image * params.k_batch + key.row * params.k_pitch;
}

fn row_of_value(key: Token) -> u32 {
  return params.v_offset + key.image * params.v_batch + key.row * params.v_pitch;
}

fn row_of_query(query: Token) -> u32 {
  return params.q_offset + query.image * params.q_batch + query.row * params.q_pitch;
}

fn row_of_g(query: Token) -> u32 {
  return params.g_offset + query.image * params.g_batch + query.row * params.g_pitch;
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
  let head = group.y;
  let first = (group.x * THREADS + local) * 4u;
  let lane = local % 4u;
  let column = head * HEAD4;
  let last_query = params.queries - 1u;
  let last_key = params.keys - 1u;
  let query0 = locate(sequence, min(first + 0u, last_query));
  let query1 = locate(sequence, min(first + 1u, last_query));
  let query2 = locate(sequence, min(first + 2u, last_query));
  let query3 = locate(sequence, min(first + 3u, last_query));
  let q0 = row_of_query(query0) + column;
  let q1 = row_of_query(query1) + column;
  let q2 = row_of_query(query2) + column;
  let q3 = row_of_query(query3) + column;
  let g0 = row_of_g(query0) + column;
  let g1 = row_of_g(query1) + column;
  let g2 = row_of_g(query2) + column;
  let g3 = row_of_g(query3) + column;
  let p0 = ((sequence * params.heads + head) * params.rows + first) * 2u * params.keys4; // the first query's row of scores
  let p1 = p0 + 2u * params.keys4;
  let p2 = p1 + 2u * params.keys4;
  let p3 = p2 + 2u * params.keys4;
  var largest = vec4f(NEVER); // of the scores so far, one component a query
  var sum = vec4f();
  var pulled = vec4f();
  for (var start = 0u; start < params.keys; start += 8u) {
    let key0_0 = locate(sequence, min(start + 0u + lane, last_key));
    let key1_0 = locate(sequence, min(start + 4u + lane, last_key));
    let k0 = row_of_key(key0_0) + column;
    let v0 = row_of_value(key0_0) + column;
    let k1 = row_of_key(key1_0) + column;
    let v1 = row_of_value(key1_0) + column;
    // s{query}_{four}, d{query}_{four}: of four keys
    var s0_0 = vec4f();
    var d0_0 = vec4f();
    var s0_1 = vec4f();
    var d0_1 = vec4f();
    var s1_0 = vec4f();
    var d1_0 = vec4f();
    var s1_1 = vec4f();
    var d1_1 = vec4f();
    var s2_0 = vec4f();
    var d2_0 = vec4f();
    var s2_1 = vec4f();
    var d2_1 = vec4f();
    var s3_0 = vec4f();
    var d3_0 = vec4f();
    var s3_1 = vec4f();
    var d3_1 = vec4f();
    for (var c = 0u; c < HEAD4; c++) {
      let kk0 = quad(k[k0 + c]);
      let vv0 = quad(v[v0 + c]);
      let kk1 = quad(k[k1 + c]);
      let vv1 = quad(v[v1 + c]);
      let a0 = q[q0 + c];
      let b0 = g[g0 + c];
      s0_0 = products_add(a0, kk0, s0_0);
      d0_0 = products_add(b0, vv0, d0_0);
      s0_1 = products_add(a0, kk1, s0_1);
      d0_1 = products_add(b0, vv1, d0_1);
      let a1 = q[q1 + c];
      let b1 = g[g1 + c];
      s1_0 = products_add(a1, kk0, s1_0);
      d1_0 = products_add(b1, vv0, d1_0);
      s1_1 = products_add(a1, kk1, s1_1);
      d1_1 = products_add(b1, vv1, d1_1);
      let a2 = q[q2 + c];
      let b2 = g[g2 + c];
      s2_0 = products_add(a2, kk0, s2_0);
      d2_0 = products_add(b2, vv0, d2_0);
      s2_1 = products_add(a2, kk1, s2_1);
      d2_1 = products_add(b2, vv1, d2_1);
      let a3 = q[q3 + c];
      let b3 = g[g3 + c];
      s3_0 = products_add(a3, kk0, s3_0);
      d3_0 = products_add(b3, vv0, d3_0);
      s3_1 = products_add(a3, kk1, s3_1);
      d3_1 = products_add(b3, vv1, d3_1);
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
    let at = start / 4u;
    scores[p0 + at + 0u] = reorder(s0_0, lane);
    scores[p0 + params.keys4 + at + 0u] = reorder(d0_0, lane);
    scores[p0 + at + 1u] = reorder(s0_1, lane);
    scores[p0 + params.keys4 + at + 1u] = reorder(d0_1, lane);
    scores[p1 + at + 0u] = reorder(s1_0, lane);
    scores[p1 + params.keys4 + at + 0u] = reorder(d1_0, lane);
    scores[p1 + at + 1u] = reorder(s1_1, lane);
    scores[p1 + params.keys4 + at + 1u] = reorder(d1_1, lane);
    scores[p2 + at + 0u] = reorder(s2_0, lane);
    scores[p2 + params.keys4 + at + 0u] = reorder(d2_0, lane);
    scores[p2 + at + 1u] = reorder(s2_1, lane);
    scores[p2 + params.keys4 + at + 1u] = reorder(d2_1, lane);
    scores[p3 + at + 0u] = reorder(s3_0, lane);
    scores[p3 + params.keys4 + at + 0u] = reorder(d3_0, lane);
    scores[p3 + at + 1u] = reorder(s3_1, lane);
    scores[p3 + params.keys4 + at + 1u] = reorder(d3_1, lane);
    let high = max(largest, vec4f(highest(max(s0_0, s0_1)), highest(max(s1_0, s1_1)), highest(max(s2_0, s2_1)), highest(max(s3_0, s3_1))));
    let shrink = exp(largest - high);
    largest = high;
    sum *= shrink;
    pulled *= shrink;
    let w0_0 = exp(s0_0 - high.x);
    let w0_1 = exp(s0_1 - high.x);
    sum.x += dot(w0_0 + w0_1, vec4f(1.0));
    pulled.x += dot(w0_0, d0_0) + dot(w0_1, d0_1);
    let w1_0 = exp(s1_0 - high.y);
    let w1_1 = exp(s1_1 - high.y);
    sum.y += dot(w1_0 + w1_1, vec4f(1.0));
    pulled.y += dot(w1_0, d1_0) + dot(w1_1, d1_1);
    let w2_0 = exp(s2_0 - high.z);
    let w2_1 = exp(s2_1 - high.z);
    sum.z += dot(w2_0 + w2_1, vec4f(1.0));
    pulled.z += dot(w2_0, d2_0) + dot(w2_1, d2_1);
    let w3_0 = exp(s3_0 - high.w);
    let w3_1 = exp(s3_1 - high.w);
    sum.w += dot(w3_0 + w3_1, vec4f(1.0));
    pulled.w += dot(w3_0, d3_0) + dot(w3_1, d3_1);
  }
  let mean = pulled / sum;
  // What lies outside the map has no result, so it gives nothing.
  let part = select(vec4f(), 1.0 / sum, vec4<bool>(query0.inside, query1.inside, query2.inside, query3.inside));
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
  for (var four = 0u; four * 4u < params.keys; four++) {
    let key = locate(sequence, min(four * 4u + lane, last_key));
    let k0 = row_of_key(key) + column;
    let weight0 = exp(scores[p0 + four] - largest.x) * part.x;
    let change0 = weight0 * (scores[p0 + params.keys4 + four] - mean.x);
    scores[p0 + four] = weight0;
    scores[p0 + params.keys4 + four] = change0;
    let c0 = reorder(change0, lane);
    let weight1 = exp(scores[p1 + four] - largest.y) * part.y;
    let change1 = weight1 * (scores[p1 + params.keys4 + four] - mean.y);
    scores[p1 + four] = weight1;
    scores[p1 + params.keys4 + four] = change1;
    let c1 = reorder(change1, lane);
    let weight2 = exp(scores[p2 + four] - largest.z) * part.z;
    let change2 = weight2 * (scores[p2 + params.keys4 + four] - mean.z);
    scores[p2 + four] = weight2;
    scores[p2 + params.keys4 + four] = change2;
    let c2 = reorder(change2, lane);
    let weight3 = exp(scores[p3 + four] - largest.w) * part.w;
    let change3 = weight3 * (scores[p3 + params.keys4 + four] - mean.w);
    scores[p3 + four] = weight3;
    scores[p3 + params.keys4 + four] = change3;
    let c3 = reorder(change3, lane);
    if (HEAD4 > 0u) {
      let w = quad(k[k0 + 0u]);
      y0_0 += w * c0;
      y1_0 += w * c1;
      y2_0 += w * c2;
      y3_0 += w * c3;
    }
    if (HEAD4 > 1u) {
      let w = quad(k[k0 + 1u]);
      y0_1 += w * c0;
      y1_1 += w * c1;
      y2_1 += w * c2;
      y3_1 += w * c3;
    }
    if (HEAD4 > 2u) {
      let w = quad(k[k0 + 2u]);
      y0_2 += w * c0;
      y1_2 += w * c1;
      y2_2 += w * c2;
      y3_2 += w * c3;
    }
    if (HEAD4 > 3u) {
      let w = quad(k[k0 + 3u]);
      y0_3 += w * c0;
      y1_3 += w * c1;
      y2_3 += w * c2;
      y3_3 += w * c3;
    }
    if (HEAD4 > 4u) {
      let w = quad(k[k0 + 4u]);
      y0_4 += w * c0;
      y1_4 += w * c1;
      y2_4 += w * c2;
      y3_4 += w * c3;
    }
    if (HEAD4 > 5u) {
      let w = quad(k[k0 + 5u]);
      y0_5 += w * c0;
      y1_5 += w * c1;
      y2_5 += w * c2;
      y3_5 += w * c3;
    }
    if (HEAD4 > 6u) {
      let w = quad(k[k0 + 6u]);
      y0_6 += w * c0;
      y1_6 += w * c1;
      y2_6 += w * c2;
      y3_6 += w * c3;
    }
    if (HEAD4 > 7u) {
      let w = quad(k[k0 + 7u]);
      y0_7 += w * c0;
      y1_7 += w * c1;
      y2_7 += w * c2;
      y3_7 += w * c3;
    }
  }

  if ((first + 0u <= last_query) & query0.inside) {
    let row = params.dq_offset + query0.image * params.dq_batch + query0.row * params.dq_pitch + column;
    if (HEAD4 > 0u) { dq[row + 0u] = y0_0 * params.scale; }
    if (HEAD4 > 1u) { dq[row + 1u] = y0_1 * params.scale; }
    if (HEAD4 > 2u) { dq[row + 2u] = y0_2 * params.scale; }
    if (HEAD4 > 3u) { dq[row + 3u] = y0_3 * params.scale; }
    if (HEAD4 > 4u) { dq[row + 4u] = y0_4 * params.scale; }
    if (HEAD4 > 5u) { dq[row + 5u] = y0_5 * params.scale; }
    if (HEAD4 > 6u) { dq[row + 6u] = y0_6 * params.scale; }
    if (HEAD4 > 7u) { dq[row + 7u] = y0_7 * params.scale; }
  }
  if ((first + 1u <= last_query) & query1.inside) {
    let row = params.dq_offset + query1.image * params.dq_batch + query1.row * params.dq_pitch + column;
    if (HEAD4 > 0u) { dq[row + 0u] = y1_0 * params.scale; }
    if (HEAD4 > 1u) { dq[row + 1u] = y1_1 * params.scale; }
    if (HEAD4 > 2u) { dq[row + 2u] = y1_2 * params.scale; }
    if (HEAD4 > 3u) { dq[row + 3u] = y1_3 * params.scale; }
    if (HEAD4 > 4u) { dq[row + 4u] = y1_4 * params.scale; }
    if (HEAD4 > 5u) { dq[row + 5u] = y1_5 * params.scale; }
    if (HEAD4 > 6u) { dq[row + 6u] = y1_6 * params.scale; }
    if (HEAD4 > 7u) { dq[row + 7u] = y1_7 * params.scale; }
  }
  if ((first + 2u <= last_query) & query2.inside) {
    let row = params.dq_offset + query2.image * params.dq_batch + query2.row * params.dq_pitch + column;
    if (HEAD4 > 0u) { dq[row + 0u] = y2_0 * params.scale; }
    if (HEAD4 > 1u) { dq[row + 1u] = y2_1 * params.scale; }
    if (HEAD4 > 2u) { dq[row + 2u] = y2_2 * params.scale; }
    if (HEAD4 > 3u) { dq[row + 3u] = y2_3 * params.scale; }
    if (HEAD4 > 4u) { dq[row + 4u] = y2_4 * params.scale; }
    if (HEAD4 > 5u) { dq[row + 5u] = y2_5 * params.scale; }
    if (HEAD4 > 6u) { dq[row + 6u] = y2_6 * params.scale; }
    if (HEAD4 > 7u) { dq[row + 7u] = y2_7 * params.scale; }
  }
  if ((first + 3u <= last_query) & query3.inside) {
    let row = params.dq_offset + query3.image * params.dq_batch + query3.row * params.dq_pitch + column;
    if (HEAD4 > 0u) { dq[row + 0u] = y3_0 * params.scale; }
    if (HEAD4 > 1u) { dq[row + 1u] = y3_1 * params.scale; }
    if (HEAD4 > 2u) { dq[row + 2u] = y3_2 * params.scale; }
    if (HEAD4 > 3u) { dq[row + 3u] = y3_3 * params.scale; }
    if (HEAD4 > 4u) { dq[row + 4u] = y3_4 * params.scale; }
    if (HEAD4 > 5u) { dq[row + 5u] = y3_5 * params.scale; }
    if (HEAD4 > 6u) { dq[row + 6u] = y3_6 * params.scale; }
    if (HEAD4 > 7u) { dq[row + 7u] = y3_7 * params.scale; }
  }
}
