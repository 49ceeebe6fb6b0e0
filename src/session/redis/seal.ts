import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { SessionStoreError } from '../store.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** No JSON text begins so. */
const MARK = '$'

/** A text that was sealed by a key that is not here, or changed since. The message holds nothing of it. */
export class SealError extends SessionStoreError {
  constructor(why: string) {
    super('session_store_sealed', `a session in the store cannot be read: ${why}`)
  }
}

/**
 * AES-256-GCM (NIST SP 800-38D) over what must not lie in the clear. The first key seals, any opens, so that keys can be
 * exchanged without losing a session. Without keys texts stay as they are.
 */
export class Seal {
  readonly #keys: readonly { readonly name: string; readonly key: KeyObject }[]

  /** Each of 32 bytes. */
  constructor(keys: readonly Buffer[] = []) {
    for (const key of keys)
      if (key.length !== KEY_BYTES) throw new RangeError(`a store key has ${KEY_BYTES} bytes, not ${key.length}`)
    this.#keys = keys.map(key => ({ name: keyName(key), key: createSecretKey(key) }))
  }

  get isOn(): boolean {
    return this.#keys.length > 0
  }

  /** What scripts are told, so that they leave alone what is not to be opened here: the names of the keys, with blanks about each. */
  get names(): string {
    return ` ${this.#keys.map(({ name }) => name).join(' ')} `
  }

  /** `place`: what it is and of which session; it opens nowhere else. */
  seal(text: string, place: string): string {
    const first = this.#keys[0]
    if (!first) return text
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', first.key, nonce).setAAD(Buffer.from(place))
    const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
    return `${MARK}${first.name}${sealed.toString('base64url')}`
  }

  /** Fails with SealError. */
  open(sealed: string, place: string): string {
    if (!sealed.startsWith(MARK)) return this.#clear(sealed)
    const name = sealed.slice(MARK.length, MARK.length + NAME_LENGTH)
    const known = this.#keys.find(key => key.name === name)
    if (!known) throw new SealError(`no --store-key here has sealed it (that one is called ${printable(name)})`)
    const bytes = Buffer.from(sealed.slice(MARK.length + NAME_LENGTH), 'base64url')
    if (bytes.length < NONCE_BYTES + TAG_BYTES) throw new SealError('it was changed')
    const decipher = createDecipheriv('aes-256-gcm', known.key, bytes.subarray(0, NONCE_BYTES))
    decipher.setAAD(Buffer.from(place)).setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      return decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
    } catch {
      throw new SealError('it was changed')
    }
  }

  /** Whoever can write to Redis must not get round the seal by leaving it out. */
  #clear(text: string): string {
    if (this.isOn) throw new SealError('it is not sealed, and --store-key is given')
    return text
  }
}

const NAME_LENGTH = 6

/** Tells keys apart, and nothing of them. */
function keyName(key: Buffer): string {
  return createHash('sha256').update('catflap store key').update(key).digest('base64url').slice(0, NAME_LENGTH)
}

function printable(name: string): string {
  return /^[\w-]+$/.test(name) ? name : 'nothing'
}
