/** The golden tests ask the page what "backdrop verify" asks. */
import '../../src/host/page-verify.ts';
