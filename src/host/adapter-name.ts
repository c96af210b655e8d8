/** Name of an adapter as people know it. */
export function adapterName(info: { vendor: string; architecture: string; device: string; description: string }): string {
  const parts = [info.description || info.device, info.vendor, info.architecture].filter((part) => part !== '');
  return (
    parts.filter((part, i) => parts.findIndex((other) => other.toLowerCase() === part.toLowerCase()) === i).join(', ') || 'unnamed adapter'
  );
}
