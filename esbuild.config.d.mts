export function isBuilt(): boolean;
export function build(): Promise<void>;
export function buildTestPage(): Promise<Map<string, Uint8Array>>;
