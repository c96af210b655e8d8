// Puts every record of deformable/count.wgsl into its bucket: list[cursor of the bucket, one further each time] = record.
//
// `cursors` holds the buckets' starts (copy/scan.wgsl) and afterwards their ends. The order in a bucket is that of chance, until
// deformable/sort.wgsl. One point a thread. Grid: ceil(points / 64) workgroups folded into x and y.

const NONE = 0xffffffffu;

struct Params {
  count: u32, // points of all queries, heads and images
}

@group(0) @binding(0) var<storage, read> places: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> cursors: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> list: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let point = (group.y * groups.x + group.x) * 64u + local;
  if (point >= params.count) { return; }
  let buckets = places[point];
  for (var cell = 0u; cell < 4u; cell++) {
    if (buckets[cell] != NONE) { list[atomicAdd(&cursors[buckets[cell]], 1u)] = 4u * point + cell; }
  }
}
