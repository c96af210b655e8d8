// Attention with a row of scores at a time: y[query] = sum over keys j of softmax_j(q[query] . k[j] * scale + bias) * v[j].
//
// For every image and head; head h owns columns h * D .. h * D + D - 1 of q, k, v and y. The softmax runs online: a block of
// keys at a time, the sums so far rescaled whenever a larger score appears. Scores are finite: what may not be seen is
// masked by a large negative bias such as -1e9, and a query whose keys are all masked gives some finite value.
//
// D is a multiple of 4, everything in vec4f. This variant: no barriers, no workgroup memory: it runs everywhere and compiles
// fast on software adapters. A thread holds 4 queries times CHUNK vec4f of y in registers and takes 8 keys a step; since
// neighbouring threads differ only in their queries, all of a workgroup read the same keys and values at the same time.
// Heads wider than 8 vec4f are cut into column chunks, each of which computes its scores again.
//
// Grid: x = ceil(queries / 128), y = heads * ceil(HEAD4 / CHUNK), z = sequences (images, or windows of images).
//
// Hooks: locate says which row of which image token `index` of a sequence is; bias is added to a score. The graph compiler
// replaces their bodies: a mask reads `mask`, windows cut the sequences out of maps (src/ops/window-attention.ts).

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
  shift: u32,
  map_height: u32,
  map_width: u32,
  windows_x: u32, // windows side by side
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

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let sequence = group.z;
  let head = group.y % params.heads;
  let first = (group.x * 32u + local) * 4u;
  if (first >= params.queries) {
    return;
  }
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
  var y0_0 = vec4f(); var y0_1 = vec4f(); var y0_2 = vec4f(); var y0_3 = vec4f(); var y0_4 = vec4f(); var y0_5 = vec4f(); var y0_6 = vec4f(); var y0_7 = vec4f();
  var y1_0 = vec4f(); var y1_1 = vec4f(); var y1_2 = vec4f(); var y1_3 = vec4f(); var y1_4 = vec4f(); var y1_5 = vec4f(); var y1_6 = vec4f(); var y1_7 = vec4f();
  var y2_0 = vec4f(); var y2_1 = vec4f(); var y2_2 = vec4f(); var y2_3 = vec4f(); var y2_4 = vec4f(); var y2_5 = vec4f(); var y2_6 = vec4f(); var y2_7 = vec4f();
  var y3_0 = vec4f(); var y3_1 = vec4f(); var y3_2 = vec4f(); var y3_3 = vec4f(); var y3_4 = vec4f(); var y3_5 = vec4f(); var y3_6 = vec4f(); var y3_7 = vec4f();
  for (var start = 0u; start < params.keys; start += 8u) {
    let key0 = locate(sequence, min(start + 0u, last_key));
    let key1 = locate(sequence, min(start + 1u, last_key));
    let key2 = locate(sequence, min(start + 2u, last_key));
    let key3 = locate(sequence, min(start + 3u, last_key));
    let key4 = locate(sequence, min(start + 4u, last_key));
    let key5 = locate(sequence, min(start + 5u, last_key));
    let key6 = locate(sequence, min(start + 6u, last_key));
    let key7 = locate(sequence, min(start + 7u, last_key));
    let k0 = params.k_offset + key0.image * params.k_batch + key0.row * params.k_pitch + column;
    let k1 = params.k_offset + key1.image * params.k_batch + key1.row * params.k_pitch + column;
    let k2 = params.k_offset + key2.image * params.k_batch + key2.row * params.k_pitch + column;
    let k3 = params.k_offset + key3.image * params.k_batch + key3.row * params.k_pitch + column;
    let k4 = params.k_offset + key4.image * params.k_batch + key4.row * params.k_pitch + column;
    let k5 = params.k_offset + key5.image * params.k_batch + key5.row * params.k_pitch + column;
    let k6 = params.k_offset + key6.image * params.k_batch + key6.row * params.k_pitch + column;
    let k7 = params.k_offset + key7.image * params.k_batch + key7.row * params.k_pitch + column;
    // s{query}{half}: scores of four keys
    var s0a = vec4f(); var s0b = vec4f();
    var s1a = vec4f(); var s1b = vec4f();
    var s2a = vec4f(); var s2b = vec4f();
    var s3a = vec4f(); var s3b = vec4f();
    for (var c = 0u; c < HEAD4; c++) {
      let a0 = q[q0 + c];
      let a1 = q[q1 + c];
      let a2 = q[q2 + c];
      let a3 = q[q3 + c];
      { let b = k[k0 + c]; s0a.x = dot_add(a0, b, s0a.x); s1a.x = dot_add(a1, b, s1a.x); s2a.x = dot_add(a2, b, s2a.x); s3a.x = dot_add(a3, b, s3a.x); }
      { let b = k[k1 + c]; s0a.y = dot_add(a0, b, s0a.y); s1a.y = dot_add(a1, b, s1a.y); s2a.y = dot_add(a2, b, s2a.y); s3a.y = dot_add(a3, b, s3a.y); }
      { let b = k[k2 + c]; s0a.z = dot_add(a0, b, s0a.z); s1a.z = dot_add(a1, b, s1a.z); s2a.z = dot_add(a2, b, s2a.z); s3a.z = dot_add(a3, b, s3a.z); }
      { let b = k[k3 + c]; s0a.w = dot_add(a0, b, s0a.w); s1a.w = dot_add(a1, b, s1a.w); s2a.w = dot_add(a2, b, s2a.w); s3a.w = dot_add(a3, b, s3a.w); }
      { let b = k[k4 + c]; s0b.x = dot_add(a0, b, s0b.x); s1b.x = dot_add(a1, b, s1b.x); s2b.x = dot_add(a2, b, s2b.x); s3b.x = dot_add(a3, b, s3b.x); }
      { let b = k[k5 + c]; s0b.y = dot_add(a0, b, s0b.y); s1b.y = dot_add(a1, b, s1b.y); s2b.y = dot_add(a2, b, s2b.y); s3b.y = dot_add(a3, b, s3b.y); }
      { let b = k[k6 + c]; s0b.z = dot_add(a0, b, s0b.z); s1b.z = dot_add(a1, b, s1b.z); s2b.z = dot_add(a2, b, s2b.z); s3b.z = dot_add(a3, b, s3b.z); }
      { let b = k[k7 + c]; s0b.w = dot_add(a0, b, s0b.w); s1b.w = dot_add(a1, b, s1b.w); s2b.w = dot_add(a2, b, s2b.w); s3b.w = dot_add(a3, b, s3b.w); }
    }
    let real_a = vec4u(start) + vec4u(0u, 1u, 2u, 3u) <= vec4u(last_key);
    let real_b = vec4u(start) + vec4u(4u, 5u, 6u, 7u) <= vec4u(last_key);
    s0a = select(vec4f(NEVER), s0a * params.scale + vec4f(bias(head, query0, key0), bias(head, query0, key1), bias(head, query0, key2), bias(head, query0, key3)), real_a);
    s0b = select(vec4f(NEVER), s0b * params.scale + vec4f(bias(head, query0, key4), bias(head, query0, key5), bias(head, query0, key6), bias(head, query0, key7)), real_b);
    s1a = select(vec4f(NEVER), s1a * params.scale + vec4f(bias(head, query1, key0), bias(head, query1, key1), bias(head, query1, key2), bias(head, query1, key3)), real_a);
    s1b = select(vec4f(NEVER), s1b * params.scale + vec4f(bias(head, query1, key4), bias(head, query1, key5), bias(head, query1, key6), bias(head, query1, key7)), real_b);
    s2a = select(vec4f(NEVER), s2a * params.scale + vec4f(bias(head, query2, key0), bias(head, query2, key1), bias(head, query2, key2), bias(head, query2, key3)), real_a);
    s2b = select(vec4f(NEVER), s2b * params.scale + vec4f(bias(head, query2, key4), bias(head, query2, key5), bias(head, query2, key6), bias(head, query2, key7)), real_b);
    s3a = select(vec4f(NEVER), s3a * params.scale + vec4f(bias(head, query3, key0), bias(head, query3, key1), bias(head, query3, key2), bias(head, query3, key3)), real_a);
    s3b = select(vec4f(NEVER), s3b * params.scale + vec4f(bias(head, query3, key4), bias(head, query3, key5), bias(head, query3, key6), bias(head, query3, key7)), real_b);
    let m0 = max(s0a, s0b);
    let m1 = max(s1a, s1b);
    let m2 = max(s2a, s2b);
    let m3 = max(s3a, s3b);
    let high = max(largest, vec4f(max(max(m0.x, m0.y), max(m0.z, m0.w)), max(max(m1.x, m1.y), max(m1.z, m1.w)), max(max(m2.x, m2.y), max(m2.z, m2.w)), max(max(m3.x, m3.y), max(m3.z, m3.w))));
    let shrink = exp(largest - high);
    largest = high;
    s0a = exp(s0a - high.x); s0b = exp(s0b - high.x);
    s1a = exp(s1a - high.y); s1b = exp(s1b - high.y);
    s2a = exp(s2a - high.z); s2b = exp(s2b - high.z);
    s3a = exp(s3a - high.w); s3b = exp(s3b - high.w);
    sum = fma(sum, shrink, vec4f(dot(s0a + s0b, vec4f(1.0)), dot(s1a + s1b, vec4f(1.0)), dot(s2a + s2b, vec4f(1.0)), dot(s3a + s3b, vec4f(1.0))));
    y0_0 *= shrink.x; y0_1 *= shrink.x; y0_2 *= shrink.x; y0_3 *= shrink.x; y0_4 *= shrink.x; y0_5 *= shrink.x; y0_6 *= shrink.x; y0_7 *= shrink.x;
    y1_0 *= shrink.y; y1_1 *= shrink.y; y1_2 *= shrink.y; y1_3 *= shrink.y; y1_4 *= shrink.y; y1_5 *= shrink.y; y1_6 *= shrink.y; y1_7 *= shrink.y;
    y2_0 *= shrink.z; y2_1 *= shrink.z; y2_2 *= shrink.z; y2_3 *= shrink.z; y2_4 *= shrink.z; y2_5 *= shrink.z; y2_6 *= shrink.z; y2_7 *= shrink.z;
    y3_0 *= shrink.w; y3_1 *= shrink.w; y3_2 *= shrink.w; y3_3 *= shrink.w; y3_4 *= shrink.w; y3_5 *= shrink.w; y3_6 *= shrink.w; y3_7 *= shrink.w;
    for (var half = 0u; half < 2u; half++) {
      let w0 = params.v_offset + select(key0.image, key4.image, half == 1u) * params.v_batch + select(key0.row, key4.row, half == 1u) * params.v_pitch + chunk;
      let w1 = params.v_offset + select(key1.image, key5.image, half == 1u) * params.v_batch + select(key1.row, key5.row, half == 1u) * params.v_pitch + chunk;
      let w2 = params.v_offset + select(key2.image, key6.image, half == 1u) * params.v_batch + select(key2.row, key6.row, half == 1u) * params.v_pitch + chunk;
      let w3 = params.v_offset + select(key3.image, key7.image, half == 1u) * params.v_batch + select(key3.row, key7.row, half == 1u) * params.v_pitch + chunk;
      let p0 = select(s0a, s0b, half == 1u);
      let p1 = select(s1a, s1b, half == 1u);
      let p2 = select(s2a, s2b, half == 1u);
      let p3 = select(s3a, s3b, half == 1u);
      if (CHUNK > 0u) {
        let b0 = v[w0 + 0u]; let b1 = v[w1 + 0u]; let b2 = v[w2 + 0u]; let b3 = v[w3 + 0u];
        y0_0 = fma(vec4f(p0.x), b0, fma(vec4f(p0.y), b1, fma(vec4f(p0.z), b2, fma(vec4f(p0.w), b3, y0_0))));
        y1_0 = fma(vec4f(p1.x), b0, fma(vec4f(p1.y), b1, fma(vec4f(p1.z), b2, fma(vec4f(p1.w), b3, y1_0))));
        y2_0 = fma(vec4f(p2.x), b0, fma(vec4f(p2.y), b1, fma(vec4f(p2.z), b2, fma(vec4f(p2.w), b3, y2_0))));
        y3_0 = fma(vec4f(p3.x), b0, fma(vec4f(p3.y), b1, fma(vec4f(p3.z), b2, fma(vec4f(p3.w), b3, y3_0))));
      }
      if (CHUNK > 1u) {
        let b0 = v[w0 + 1u]; let b1 = v[w1 + 1u]; let b2 = v[w2 + 1u]; let b3 = v[w3 + 1u];
        y0_1 = fma(vec4f(p0.x), b0, fma(vec4f(p0.y), b1, fma(vec4f(p0.z), b2, fma(vec4f(p0.w), b3, y0_1))));
        y1_1 = fma(vec4f(p1.x), b0, fma(vec4f(p1.y), b1, fma(vec4f(p1.z), b2, fma(vec4f(p1.w), b3, y1_1))));
        y2_1 = fma(vec4f(p2.x), b0, fma(vec4f(p2.y), b1, fma(vec4f(p2.z), b2, fma(vec4f(p2.w), b3, y2_1))));
        y3_1 = fma(vec4f(p3.x), b0, fma(vec4f(p3.y), b1, fma(vec4f(p3.z), b2, fma(vec4f(p3.w), b3, y3_1))));
      }
      if (CHUNK > 2u) {
        let b0 = v[w0 + 2u]; let b1 = v[w1 + 2u]; let b2 = v[w2 + 2u]; let b3 = v[w3 + 2u];
        y0_2 = fma(vec4f(p0.x), b0, fma(vec4f(p0.y), b1, fma(vec4f(p0.z), b2, fma(vec4f(p0.w), b3, y0_2))));
        y1_2 = fma(vec4f(p1.x), b0, fma(vec4f(p1.y), b1, fma(vec4f(p1.z), b2, fma(vec4f(p1.w), b3, y1_2))));
        y2_2 = fma(vec4f(p2.x), b0, fma(vec4f(p2.y), b1, fma(vec4f(p2.z), b2, fma(vec4f(p2.w), b3, y2_2))));
        y3_2 = fma(vec4f(p3.x), b0, fma(vec4f(p3.y), b1, fma(vec4f(p3.z), b2, fma(vec4f(p3.w), b3, y3_2))));
      }
      if (CHUNK > 3u) {
        let b0 = v[w0 + 3u]; let b1 = v[w1 + 3u]; let b2 = v[w2 + 3u]; let b3 = v[w3 + 3u];
        y0_3 = fma(vec4f(p0.x), b0, fma(vec4f(p0.y), b1, fma(vec4f(p0.z), b2, fma(vec4f(p0.w), b3, y0_3))));
        y1_3 = fma(vec4f(p1.x), b0, fma(vec4f(p1.y), b1, fma(vec4f(p1.z), b2, fma(vec4f(p1.w), b3, y1_3))));
        y2_3 = fma(vec4f(p2.x), b0, fma(vec4f(p2.y), b1, fma(vec4f(p2.z), b2, fma(vec4f(p2.w), b3, y2_3))));
        y3_3 = fma(vec4f(p3.x), b0, fma(vec4f(p3.y), b1, fma(vec4f(p3.z), b2, fma(vec4f(p3.w), b3, y3_3))));
      }
      if (CHUNK > 4u) {
        let b0 = v[w0 + 4u]; let b1 = v[w1 + 4u]; let b2 = v[w2 + 4u]; let b3 = v[w3 + 4u];
        y0_4 = fma(vec4f(p0.x), b0, fma(vec4f(p0.y), b1, fma(vec4f(p0.z), b2, fma(vec4f(p0.w), b3, y0_4))));
        y1_4 = fma(vec4f(p1.x), b0, fma(vec4f(p1.y), b1, fma(vec4f(p1.z), b2, fma(vec4f(p1.w), b3, y1_4))));
        y2_4 = fma(vec4f(p2.x), b0, fma(vec4f(p2.y), b1, fma(vec4f(p2.z), b2, fma(vec4f(p2.w), b3, y2_4))));
        y3_4 = fma(vec4f(p3.x), b0, fma(vec4f(p3.y), b1, fma(vec4f(p3.z), b2, fma(vec4f(p3.w), b3, y3_4))));
      }
      if (CHUNK > 5u) {
        let b0 = v[w0 + 5u]; let b1 = v[w1 + 5u]; let b2 = v[w2 + 5u]; let b3 = v[w3 + 5u];
        y0_5 = fma(vec4f(p0.x), b0, fma(vec4f(p0.y), b1, fma(vec4f(p0.z), b2, fma(vec4f(p0.w), b3, y0_5))));
        y1_5 = fma(vec4f(p1.x), b0, fma(vec4f(p1.y), b1, fma(vec4f(p1.z), b2, fma(vec4f(p1.w), b3, y1_5))));
        y2_5 = fma(vec4f(p2.x), b0, fma(vec4f(p2.y), b1, fma(vec4f(p2.z), b2, fma(vec4f(p2.w), b3, y2_5))));
        y3_5 = fma(vec4f(p3.x), b0, fma(vec4f(p3.y), b1, fma(vec4f(p3.z), b2, fma(vec4f(p3.w), b3, y3_5))));
      }
      if (CHUNK > 6u) {
        let b0 = v[w0 + 6u]; let b1 = v[w1 + 6u]; let b2 = v[w2 + 6u]; let b3 = v[w3 + 6u];
        y0_6 = fma(vec4f(p0.x), b0, fma(vec4f(p0.y), b1, fma(vec4f(p0.z), b2, fma(vec4f(p0.w), b3, y0_6))));
        y1_6 = fma(vec4f(p1.x), b0, fma(vec4f(p1.y), b1, fma(vec4f(p1.z), b2, fma(vec4f(p1.w), b3, y1_6))));
        y2_6 = fma(vec4f(p2.x), b0, fma(vec4f(p2.y), b1, fma(vec4f(p2.z), b2, fma(vec4f(p2.w), b3, y2_6))));
        y3_6 = fma(vec4f(p3.x), b0, fma(vec4f(p3.y), b1, fma(vec4f(p3.z), b2, fma(vec4f(p3.w), b3, y3_6))));
      }
      if (CHUNK > 7u) {
        let b0 = v[w0 + 7u]; let b1 = v[w1 + 7u]; let b2 = v[w2 + 7u]; let b3 = v[w3 + 7u];
        y0_7 = fma(vec4f(p0.x), b0, fma(vec4f(p0.y), b1, fma(vec4f(p0.z), b2, fma(vec4f(p0.w), b3, y0_7))));
        y1_7 = fma(vec4f(p1.x), b0, fma(vec4f(p1.y), b1, fma(vec4f(p1.z), b2, fma(vec4f(p1.w), b3, y1_7))));
        y2_7 = fma(vec4f(p2.x), b0, fma(vec4f(p2.y), b1, fma(vec4f(p2.z), b2, fma(vec4f(p2.w), b3, y2_7))));
        y3_7 = fma(vec4f(p3.x), b0, fma(vec4f(p3.y), b1, fma(vec4f(p3.z), b2, fma(vec4f(p3.w), b3, y3_7))));
      }
    }
  }

  let columns = min(CHUNK, column + HEAD4 - chunk);
  if ((first + 0u <= last_query) & query0.inside) {
    let to = params.y_offset + query0.image * params.y_batch + query0.row * params.y_pitch + chunk;
    let scale = 1.0 / sum.x;
    if (columns > 0u) { y[to + 0u] = y0_0 * scale; }
    if (columns > 1u) { y[to + 1u] = y0_1 * scale; }
    if (columns > 2u) { y[to + 2u] = y0_2 * scale; }
    if (columns > 3u) { y[to + 3u] = y0_3 * scale; }
    if (columns > 4u) { y[to + 4u] = y0_4 * scale; }
    if (columns > 5u) { y[to + 5u] = y0_5 * scale; }
    if (columns > 6u) { y[to + 6u] = y0_6 * scale; }
    if (columns > 7u) { y[to + 7u] = y0_7 * scale; }
  }
  if ((first + 1u <= last_query) & query1.inside) {
    let to = params.y_offset + query1.image * params.y_batch + query1.row * params.y_pitch + chunk;
    let scale = 1.0 / sum.y;
    if (columns > 0u) { y[to + 0u] = y1_0 * scale; }
    if (columns > 1u) { y[to + 1u] = y1_1 * scale; }
    if (columns > 2u) { y[to + 2u] = y1_2 * scale; }
    if (columns > 3u) { y[to + 3u] = y1_3 * scale; }
    if (columns > 4u) { y[to + 4u] = y1_4 * scale; }
    if (columns > 5u) { y[to + 5u] = y1_5 * scale; }
    if (columns > 6u) { y[to + 6u] = y1_6 * scale; }
    if (columns > 7u) { y[to + 7u] = y1_7 * scale; }
  }
  if ((first + 2u <= last_query) & query2.inside) {
    let to = params.y_offset + query2.image * params.y_batch + query2.row * params.y_pitch + chunk;
    let scale = 1.0 / sum.z;
    if (columns > 0u) { y[to + 0u] = y2_0 * scale; }
    if (columns > 1u) { y[to + 1u] = y2_1 * scale; }
    if (columns > 2u) { y[to + 2u] = y2_2 * scale; }
    if (columns > 3u) { y[to + 3u] = y2_3 * scale; }
    if (columns > 4u) { y[to + 4u] = y2_4 * scale; }
    if (columns > 5u) { y[to + 5u] = y2_5 * scale; }
    if (columns > 6u) { y[to + 6u] = y2_6 * scale; }
    if (columns > 7u) { y[to + 7u] = y2_7 * scale; }
  }
  if ((first + 3u <= last_query) & query3.inside) {
    let to = params.y_offset + query3.image * params.y_batch + query3.row * params.y_pitch + chunk;
    let scale = 1.0 / sum.w;
    if (columns > 0u) { y[to + 0u] = y3_0 * scale; }
    if (columns > 1u) { y[to + 1u] = y3_1 * scale; }
    if (columns > 2u) { y[to + 2u] = y3_2 * scale; }
    if (columns > 3u) { y[to + 3u] = y3_3 * scale; }
    if (columns > 4u) { y[to + 4u] = y3_4 * scale; }
    if (columns > 5u) { y[to + 5u] = y3_5 * scale; }
    if (columns > 6u) { y[to + 6u] = y3_6 * scale; }
    if (columns > 7u) { y[to + 7u] = y3_7 * scale; }
  }
}
