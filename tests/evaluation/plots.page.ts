/** What a browser makes of an SVG, for tests/evaluation/plots.test.ts. */
import { register } from '../../src/host/page-registry.ts';

export interface Drawing {
  /** What the XML parser says, empty if it is content. */
  error: string;
  size: [width: number, height: number];
  texts: { text: string; corners: [number, number][] }[];
  /** Points of each line, in the order drawn. */
  lines: { color: string; points: [number, number][] }[];
  rects: { fill: string; box: [number, number, number, number]; title: string }[];
  circles: [number, number][];
}

register('draw svg', (source: string): Drawing => {
  const parsed = new DOMParser().parseFromString(source, 'image/svg+xml');
  const error = parsed.querySelector('parsererror')?.textContent ?? '';
  if (error) return { error, size: [0, 0], texts: [], lines: [], rects: [], circles: [] };
  const svg = document.body.appendChild(document.importNode(parsed.documentElement, true)) as unknown as SVGSVGElement;
  const all = <T extends Element>(name: string) => [...svg.querySelectorAll<T & Element>(name)];
  const number = (element: Element, name: string) => Number(element.getAttribute(name));
  const drawing: Drawing = {
    error: '',
    size: [number(svg, 'width'), number(svg, 'height')],
    texts: all<SVGTextElement>('text').map((element) => {
      const { x, y, width, height } = element.getBBox();
      const matrix = element.getCTM()!;
      const corners = [
        [x, y],
        [x + width, y],
        [x + width, y + height],
        [x, y + height],
      ].map(([px, py]): [number, number] => {
        const point = new DOMPoint(px, py).matrixTransform(matrix);
        return [point.x, point.y];
      });
      return { text: element.lastChild?.textContent ?? '', corners };
    }),
    lines: all('polyline').map((element) => ({
      color: element.getAttribute('stroke')!,
      points: element
        .getAttribute('points')!
        .split(' ')
        .map((pair) => pair.split(',').map(Number) as [number, number]),
    })),
    rects: all('rect').map((element) => ({
      fill: element.getAttribute('fill')!,
      box: [number(element, 'x'), number(element, 'y'), number(element, 'width'), number(element, 'height')],
      title: element.querySelector('title')?.textContent ?? '',
    })),
    circles: all('circle').map((element) => [number(element, 'cx'), number(element, 'cy')]),
  };
  svg.remove();
  return drawing;
});
