// Sorts each bucket of records by insertion: they are short (a few records, some hundred where objects crowd), and afterwards
// their order is that of the records, whatever the run. ends[bucket] is where a bucket ends and the next begins.
//
// One bucket a thread. Grid: ceil(buckets / 64) workgroups folded into x and y.

struct Params {
  buckets: u32,
}

@group(0) @binding(0) var<storage, read> ends: array<u32>;
@group(0) @binding(1) var<storage, read_write> list: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let bucket = (group.y * groups.x + group.x) * 64u + local;
  if (bucket >= params.buckets) { return; }
  let first = select(0u, ends[max(bucket, 1u) - 1u], bucket > 0u);
  let end = ends[bucket];
  for (var i = first + 1u; i < end; i++) {
    let record = list[i];
    var at = i;
    while (at > first) {
      let other = list[at - 1u];
      if (other <= record) { break; }
      list[at] = other;
      at--;
    }
    list[at] = record;
  }
}
