/**
 * DETR and Deformable-DETR keep their own names (facebookresearch/detr, fundamentalvision/Deformable-DETR). What needs
 * care is tying: Deformable-DETR registers its prediction heads twice, and without refinement once per layer though they are one;
 * a safetensors writer that drops shared tensors leaves any one of the names.
 */

/** The names under which a tied tensor may also be found, most likely first. */
export function tiedNames(name: string): string[] {
  const head = /^(transformer\.decoder\.)?((?:class|bbox)_embed)\.(\d+)\.(.+)$/.exec(name);
  if (!head) return [];
  const [, prefix, module, index, rest] = head;
  const other = `${prefix ? '' : 'transformer.decoder.'}${module}.${index}.${rest}`;
  return index === '0' ? [other] : [other, `${prefix ?? ''}${module}.0.${rest}`];
}

/** True if the heads of all layers are one tensor: no layer refines boxes, so none has a head of its own. */
export function headsAreShared(names: ReadonlySet<string>): boolean {
  return ![...names].some((name) => name.startsWith('transformer.decoder.bbox_embed.') || /^(?:class|bbox)_embed\.[1-9]/.test(name));
}
