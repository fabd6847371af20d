#include "ingest/keys.h"

#include <gtest/gtest.h>

#include <set>

#include "base/hex.h"

namespace muster::ingest {
namespace {

PublicKey key_of(std::uint8_t first) {
  PublicKey key{};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(first + i);
  return key;
}

TEST(Keys, TextIsTheZ85OfZeroMq) {
  // The test vector of ZeroMQ RFC 32, repeated to the length of a key.
  PublicKey key;
  constexpr std::uint8_t kVector[] = {0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(kVector[i % 8]);
  EXPECT_EQ(key_text(key), "HelloWorldHelloWorldHelloWorldHelloWorld");
  EXPECT_EQ(parse_key(key_text(key)), std::optional(key));
}

TEST(Keys, TextThatIsNoKeyIsRefused) {
  EXPECT_FALSE(parse_key(""));
  EXPECT_FALSE(parse_key("HelloWorld"));
  EXPECT_FALSE(parse_key("HelloWorldHelloWorldHelloWorldHelloWorldH"));
  EXPECT_FALSE(parse_key("HelloWorldHelloWorld\"elloWorldHelloWorld"));
  EXPECT_FALSE(parse_key(std::string("HelloWorldHelloWorld\0elloWorldHelloWorld", 40)));
}

TEST(Keys, FreshPairsDiffer) {
  const KeyPair a = new_key_pair();
  const KeyPair b = new_key_pair();
  EXPECT_NE(a.public_key, b.public_key);
  EXPECT_NE(a.secret_key, b.secret_key);
  EXPECT_NE(random_secret(), random_secret());
}

TEST(KeyRing, KnowsWhoIsEnrolledAndWhoIsRevoked) {
  KeyRing ring;
  EXPECT_EQ(ring.find(key_of(1)).state, KeyState::kUnknown);
  ring.enroll(key_of(1), KeyRole::kGateway);
  ring.enroll(key_of(2), KeyRole::kDevice);
  EXPECT_EQ(ring.find(key_of(1)).role, KeyRole::kGateway);
  ring.revoke(key_of(1));
  EXPECT_EQ(ring.find(key_of(1)).state, KeyState::kRevoked);
  EXPECT_EQ(ring.find(key_of(2)).state, KeyState::kEnrolled);
  EXPECT_EQ(ring.size(), 2u);
}

TEST(KeyedHash, DependsOnSecretAndEveryPart) {
  NodeSecret secret{};
  NodeSecret other{};
  other[0] = std::byte{1};
  const std::string user(32, 'u');
  const DeviceHash device = device_hash(secret, as_bytes(user), 0);
  std::set<Hash128> hashes = {device,
                              device_hash(secret, as_bytes(user), 1),
                              device_hash(other, as_bytes(user), 0),
                              device_hash(secret, as_bytes(user + "v"), 0),
                              update_id(secret, 1, 1, device, 1),
                              update_id(secret, 2, 1, device, 1),
                              update_id(secret, 1, 2, device, 1),
                              update_id(secret, 1, 1, device, 2),
                              update_id(secret, 1, 1, {}, 1),
                              update_id(other, 1, 1, device, 1)};
  EXPECT_EQ(hashes.size(), 10u);
  EXPECT_EQ(device, device_hash(secret, as_bytes(user), 0));
}

TEST(Keys, Sha256AndHexAreTheStandardOnes) {
  EXPECT_EQ(hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace muster::ingest
