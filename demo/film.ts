/** Camera and film: frames go to the model as fast as it takes them; a film can be stepped frame by frame. */
import { BackdropError } from '../src/errors.ts';
import type { App } from './app.ts';
import { element, make } from './dom.ts';

/** Seconds between frames when stepping; browsers do not tell a film's own rate. */
const frameTime = 1 / 25;

/** For a first frame, 20 ms apart. */
const mostTries = 250;

const cameraTroubles: Record<string, [title: string, hint: string]> = {
  NotAllowedError: ['The camera was refused.', "Allow it in the address bar's camera sign, then start again."],
  NotFoundError: ['There is no camera.', 'Connect one, or open a picture or a film.'],
  NotReadableError: ['The camera is busy or does not answer.', 'Close other programs that use it, then start again.'],
  OverconstrainedError: ['This camera is no longer there.', 'Choose another one.'],
};

export class Film {
  readonly #app: App;
  readonly #video = make('video', { muted: true, playsInline: true });
  #stream: MediaStream | null = null;
  #address: string | null = null;
  #name = '';
  #looping = false;
  /** Camera or film on the stage. */
  running = false;

  constructor(app: App) {
    this.#app = app;
    element('camera-choice').addEventListener('change', () => void this.#startCamera());
    element('play').addEventListener('click', () => void app.attempt(() => this.#playOrPause()));
    element('step-back').addEventListener('click', () => void app.attempt(() => this.#step(-frameTime)));
    element('step').addEventListener('click', () => void app.attempt(() => this.#step(frameTime)));
    const position = element<HTMLInputElement>('position');
    position.addEventListener('input', () => void app.attempt(() => this.#seek(Number(position.value))));
    this.#video.addEventListener('timeupdate', () => {
      if (document.activeElement !== position || !this.#video.paused) position.value = String(this.#video.currentTime);
    });
    for (const event of ['play', 'pause', 'ended']) this.#video.addEventListener(event, () => this.#controls());
  }

  /** Stops a camera that runs, and starts one where none does. */
  async toggleCamera(): Promise<void> {
    if (this.#stream) this.leave();
    else await this.#startCamera();
  }

  open(file: File): Promise<void> {
    return this.#app.run(`Opening ${file.name}`, () => this.#openFilm(file));
  }

  async #openFilm(file: File): Promise<void> {
    this.leave();
    const broken = (problem: string) =>
      new BackdropError('E_IMAGE', `${file.name}: ${problem}`, { hint: 'MP4 (H.264) and WebM are read by every browser.' });
    if (file.size === 0) throw broken('the file is empty');
    this.#address = URL.createObjectURL(file);
    this.#video.src = this.#address;
    await new Promise<void>((resolve, reject) => {
      this.#video.onloadeddata = () => resolve();
      this.#video.onerror = () => reject(broken('this browser cannot read the film'));
    }).catch((error) => {
      this.leave();
      throw error;
    });
    this.#name = file.name;
    this.running = true;
    this.#controls();
    await this.#frame(false);
  }

  async #startCamera(): Promise<void> {
    const choice = element<HTMLSelectElement>('camera-choice');
    const wanted = choice.value;
    this.leave();
    try {
      if (!navigator.mediaDevices) throw new DOMException('no devices', 'NotFoundError');
      const video = wanted ? { deviceId: { exact: wanted } } : { facingMode: 'environment' };
      this.#stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
      this.#video.srcObject = this.#stream;
      await this.#video.play();
    } catch (error) {
      this.leave();
      const [text, hint] = cameraTroubles[(error as Error).name] ?? [`The camera did not start: ${(error as Error).message}.`, ''];
      this.#app.report(new BackdropError('E_INPUT', text, hint ? { hint } : {}));
      return;
    }
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === 'videoinput');
    const current = this.#stream.getVideoTracks()[0]?.getSettings().deviceId;
    choice.replaceChildren(
      ...cameras.map(({ deviceId, label }, i) => new Option(label || `Camera ${i + 1}`, deviceId, false, deviceId === current)),
    );
    choice.hidden = cameras.length < 2;
    for (const track of this.#stream.getTracks()) track.addEventListener('ended', () => this.leave());
    this.#name = 'camera';
    this.running = true;
    this.#controls();
    void this.#app.attempt(() => this.#frames());
  }

  /** Ends camera and film; the last frame stays on the stage. */
  leave(): void {
    this.running = false;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.pause();
    this.#video.srcObject = null;
    this.#video.removeAttribute('src');
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = null;
    this.#controls();
  }

  #controls(): void {
    const film = this.running && !this.#stream;
    element('film').hidden = !film;
    element('camera').textContent = this.#stream ? 'Stop camera' : 'Camera';
    element('camera').setAttribute('aria-pressed', String(this.#stream !== null));
    if (!film) return;
    element('play').textContent = this.#video.paused ? 'Play' : 'Pause';
    element<HTMLInputElement>('position').max = String(this.#video.duration);
  }

  async #playOrPause(): Promise<void> {
    if (!this.#video.paused) return this.#video.pause();
    await this.#video.play();
    await this.#frames();
  }

  async #step(seconds: number): Promise<void> {
    this.#video.pause();
    await this.#seek(this.#video.currentTime + seconds);
  }

  async #seek(time: number): Promise<void> {
    const { duration } = this.#video;
    const target = Math.min(Math.max(0, time), Number.isFinite(duration) ? duration : 0);
    if (target === this.#video.currentTime) return;
    const sought = new Promise((done) => this.#video.addEventListener('seeked', done, { once: true }));
    this.#video.currentTime = target;
    await sought;
    if (this.#video.paused) await this.#frame(false);
  }

  /** Frame after frame, each when the model has seen the one before. */
  async #frames(): Promise<void> {
    if (this.#looping) return;
    this.#looping = true;
    try {
      while (this.running && !this.#video.paused && !this.#video.ended) {
        await this.#frame(true);
        await new Promise((next) => requestAnimationFrame(next));
      }
    } finally {
      this.#looping = false;
    }
  }

  async #frame(live: boolean): Promise<void> {
    const bitmap = await this.#grab();
    if (!bitmap) return;
    const name = this.#stream ? this.#name : `${this.#name} at ${this.#video.currentTime.toFixed(2)} s`;
    const looked = this.#app.showNext({ name, bitmap, live });
    if (live) await looked;
  }

  /** The frame that stands there; null when camera or film has ended. A video has data for a moment before it has a frame. */
  async #grab(): Promise<ImageBitmap | null> {
    for (let tries = 0; this.running; tries++) {
      try {
        return await createImageBitmap(this.#video);
      } catch (cause) {
        if (tries === mostTries) throw new BackdropError('E_IMAGE', `${this.#name}: this browser shows no frame of it.`, { cause });
        // Asking for frames has Chrome show the first one of a film that does not play.
        this.#video.requestVideoFrameCallback?.(() => {});
        await new Promise((next) => setTimeout(next, 20));
      }
    }
    return null;
  }
}
