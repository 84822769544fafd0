// The ten functions of nettle that Debian's libarchive.a names: those that decrypt a zip with its passphrase. No passphrase is ever given, so
// libarchive refuses such a file before it calls any of them; and nettle's licence (LGPL) asks for more than a notice where it is linked in.
#include <stdlib.h>

#define ABSENT(name) \
  void name(void) { abort(); }

ABSENT(nettle_aes128_encrypt)
ABSENT(nettle_aes128_set_encrypt_key)
ABSENT(nettle_aes192_encrypt)
ABSENT(nettle_aes192_set_encrypt_key)
ABSENT(nettle_aes256_encrypt)
ABSENT(nettle_aes256_set_encrypt_key)
ABSENT(nettle_hmac_sha1_digest)
ABSENT(nettle_hmac_sha1_set_key)
ABSENT(nettle_hmac_sha1_update)
ABSENT(nettle_pbkdf2_hmac_sha1)
