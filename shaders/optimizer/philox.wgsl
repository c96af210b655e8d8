// Counter-based random bits: Philox4x32-10 (Salmon et al., SC 2011), bit for bit those of src/random.ts.
//
//   y[4 i .. 4 i + 3] = philox(counter = (i, 0, step, stream), key = seed)
//
// A round multiplies two words of the counter by constants and mixes upper and lower halves of the products with the other
// two words and the key; the key grows by Weyl constants. WGSL has no 64-bit product: mul_high adds up 16-bit parts.
// One counter a thread. Grid: x = ceil(quads / 64) folded into x and y.

struct Params {
  quads: u32,
  step: u32,
  stream: u32,
  seed_low: u32,
  seed_high: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4u>;
@group(0) @binding(1) var<uniform> params: Params;

fn mul_high(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let cross_sum = a_low * b_high + (middle & 0xffffu);
  return a_high * b_high + (middle >> 16u) + (cross_sum >> 16u);
}

fn philox(start: vec4u, seed: vec2u) -> vec4u {
  var c = start;
  var key = seed;
  for (var i = 0u; i < 10u; i++) {
    let high0 = mul_high(0xd2511f53u, c.x);
    let high1 = mul_high(0xcd9e8d57u, c.z);
    c = vec4u(high1 ^ c.y ^ key.x, 0xcd9e8d57u * c.z, high0 ^ c.w ^ key.y, 0xd2511f53u * c.x);
    key += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= params.quads) { return; }
  y[i] = philox(vec4u(i, 0u, params.step, params.stream), vec2u(params.seed_low, params.seed_high));
}
