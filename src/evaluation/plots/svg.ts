/** The few SVG elements that the plots are made of, in one style: dark on a light card of its own, so that any page can show it. */

export const colors = {
  background: '#ffffff',
  border: '#d0d7de',
  text: '#1f2328',
  muted: '#59636e',
  grid: '#e7ebef',
  quiet: '#c3cad2',
  accent: '#0969da',
  /** For lines and bars side by side; told apart by the colour-blind too (after Okabe and Ito, and Tableau). */
  series: ['#0969da', '#d1580b', '#1a9850', '#b5179e', '#b8860b', '#17a2b8', '#cf222e', '#6f42c1', '#7a5c3e', '#5f7186'],
} as const;

/** Text as XML; characters that XML has no form for are left out. */
export function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** A coordinate: a tenth of a pixel is enough. */
export const at = (value: number) => String(Math.round(value * 10) / 10);

export interface TextStyle {
  readonly size?: number;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly color?: string;
  readonly bold?: boolean;
  /** Degrees, clockwise around the text's own place. */
  readonly rotate?: number;
  /** Pixels it may be wide; longer text is cut and shown whole when pointed at. */
  readonly width?: number;
}

/** @param y of the base line */
export function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { size = 12, anchor = 'start', color = colors.text, bold = false, rotate = 0, width = Number.POSITIVE_INFINITY } = style;
  const shown = fitText(content, width, size, bold);
  const whole = shown === content ? '' : `<title>${escapeXml(content)}</title>`;
  const turn = rotate === 0 ? '' : ` transform="rotate(${rotate} ${at(x)} ${at(y)})"`;
  const place = `x="${at(x)}" y="${at(y)}" font-size="${size}"${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}`;
  return `<text ${place} fill="${color}"${bold ? ' font-weight="600"' : ''}${turn}>${whole}${escapeXml(shown)}</text>`;
}

/** How wide text is at most, in the usual sans-serif fonts; wide scripts count a whole em. */
export function textWidth(content: string, size: number, bold = false): number {
  let em = 0;
  for (const character of content) {
    if (/[\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uff60]|[\u{1f000}-\u{3ffff}]/u.test(character)) em += 1;
    else if (/[ijlI.,:;'|!()[\]]/.test(character)) em += 0.36;
    else if (/[mwMW@%…]/.test(character)) em += 1;
    else if (/[A-Z]/.test(character)) em += 0.74;
    else em += 0.64;
  }
  return em * size * (bold ? 1.06 : 1);
}

function fitText(content: string, width: number, size: number, bold: boolean): string {
  if (textWidth(content, size, bold) <= width) return content;
  const characters = [...content];
  while (characters.length > 0 && textWidth(`${characters.join('')}…`, size, bold) > width) characters.pop();
  return `${characters.join('').trimEnd()}…`;
}

export function rect(x: number, y: number, width: number, height: number, fill: string, title = ''): string {
  const shape = `<rect x="${at(x)}" y="${at(y)}" width="${at(width)}" height="${at(height)}" fill="${fill}"`;
  return title === '' ? `${shape}/>` : `${shape}><title>${escapeXml(title)}</title></rect>`;
}

export function line(x1: number, y1: number, x2: number, y2: number, color: string = colors.grid, width = 1, dash = ''): string {
  const style = `stroke="${color}" stroke-width="${width}"${dash === '' ? '' : ` stroke-dasharray="${dash}"`}`;
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" ${style}/>`;
}

/** A line through points; a dot where there is only one. */
export function polyline(points: readonly (readonly [number, number])[], color: string, width: number, opacity = 1): string {
  if (points.length === 1) return dot(points[0][0], points[0][1], color);
  const path = points.map(([x, y]) => `${at(x)},${at(y)}`).join(' ');
  const fade = opacity === 1 ? '' : ` stroke-opacity="${opacity}"`;
  return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="${width}" stroke-linejoin="round"${fade}/>`;
}

export const dot = (x: number, y: number, color: string) => `<circle cx="${at(x)}" cy="${at(y)}" r="3" fill="${color}"/>`;

/** From near white to dark blue, evenly in lightness. */
export function shade(share: number): string {
  const stops = [
    [239, 246, 255],
    [144, 196, 244],
    [33, 113, 181],
    [8, 48, 107],
  ];
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(place), stops.length - 2);
  const channels = stops[i].map((low, c) => Math.round(low + (stops[i + 1][c] - low) * (place - i)));
  return `#${channels.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

/** A whole picture. @param title what it shows, for those who do not see it */
export function document(width: number, height: number, title: string, parts: readonly string[]): string {
  const [w, h] = [Math.ceil(width), Math.ceil(height)];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" role="img" font-family="system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect x="0.5" y="0.5" width="${w - 1}" height="${h - 1}" rx="8" fill="${colors.background}" stroke="${colors.border}"/>`,
    ...parts.filter((part) => part !== ''),
    '</svg>\n',
  ].join('\n');
}
