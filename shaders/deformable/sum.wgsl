// Last stage of the gradient of deformable attention's value:
//
//   dvalue[image, cell, head, c] = sum over the bucket's records, in their order, of weight of the record * g[image, query of the record, head, c]
//
// with buckets, records and weights of deformable/count.wgsl; a record r belongs to point r / 4, query point / (heads * P). One Value
// of a cell a thread, columns fastest: the lanes of a head share a bucket. Value is vec4f, or f32 where channels are no multiple of 4.
// Grid: x = ceil(cells * heads * channels / 64) folded into x and y, z = images.

alias Value = vec4f;

struct Params {
  queries: u32,
  heads: u32,
  channels: u32, // of a head, in Values
  points: u32, // of all levels together
  cells: u32,
  g_offset: u32,
  g_pitch: u32, // in Values, from one row to the next
  g_batch: u32, // from one image to the next
  dvalue_offset: u32,
  dvalue_pitch: u32,
  dvalue_batch: u32,
}

@group(0) @binding(0) var<storage, read> ends: array<u32>;
@group(0) @binding(1) var<storage, read> list: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> g: array<Value>;
@group(0) @binding(4) var<storage, read_write> dvalue: array<Value>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = group.z;
  let index = (group.y * groups.x + group.x) * 64u + local;
  let columns = params.heads * params.channels;
  let cell = index / columns;
  if (cell >= params.cells) { return; }
  let column = index - cell * columns;
  let bucket = (image * params.cells + cell) * params.heads + column / params.channels;
  let first = select(0u, ends[max(bucket, 1u) - 1u], bucket > 0u);
  let upstream = params.g_offset + image * params.g_batch + column;
  let a_query = 4u * params.points * params.heads; // records of a query
  var sum = Value();
  for (var i = first; i < ends[bucket]; i++) {
    let record = list[i];
    sum += weights[record] * g[upstream + (record / a_query - image * params.queries) * params.g_pitch];
  }
  dvalue[params.dvalue_offset + image * params.dvalue_batch + cell * params.dvalue_pitch + column] = sum;
}
