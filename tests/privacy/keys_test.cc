#include "privacy/keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/simulated_storage.h"

namespace muster::privacy {
namespace {

std::vector<std::byte> unhex(std::string_view text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

std::vector<std::byte> counting(int first, int last) {
  std::vector<std::byte> bytes;
  for (int b = first; b <= last; ++b) bytes.push_back(static_cast<std::byte>(b));
  return bytes;
}

Secret secret_of(std::uint8_t byte) {
  return Secret::copy_of(std::vector<std::byte>(kSecretBytes, std::byte{byte})).value();
}

bool equal(const Secret& a, const Secret& b) {
  return std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin());
}

TEST(Hkdf, GivesTheVectorsOfRfc5869) {
  struct Vector {
    std::vector<std::byte> secret, salt, info;
    std::string_view out;
  };
  const Vector vectors[] = {
      {std::vector<std::byte>(22, std::byte{0x0b}), counting(0, 0x0c), counting(0xf0, 0xf9),
       "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
      {counting(0, 0x4f), counting(0x60, 0xaf), counting(0xb0, 0xff),
       "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e"
       "590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
      {std::vector<std::byte>(22, std::byte{0x0b}),
       {},
       {},
       "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"}};
  for (const Vector& vector : vectors) {
    std::vector<std::byte> out(vector.out.size() / 2);
    hkdf_sha256(vector.secret, vector.salt, vector.info, out);
    EXPECT_EQ(out, unhex(vector.out));
  }
}

TEST(Secret, IsThirtyTwoBytes) {
  EXPECT_EQ(Secret::copy_of(counting(0, 30)).status().reason(), "secret_length");
  const Secret secret = Secret::copy_of(counting(0, 31)).value();
  EXPECT_EQ(secret.words()[0], 0x03020100u);
  EXPECT_EQ(secret.words()[7], 0x1f1e1d1cu);
  EXPECT_FALSE(equal(Secret::random().value(), Secret::random().value()));
}

TEST(Secret, OpensOnlyUnderItsMasterAndContext) {
  const Secret master = secret_of(1), key = secret_of(2);
  auto wrapped = wrap(master, key, as_bytes("task 1 round 2"));
  EXPECT_TRUE(equal(unwrap(master, wrapped, as_bytes("task 1 round 2")).value(), key));
  EXPECT_NE(wrap(master, key, as_bytes("task 1 round 2")), wrapped);  // a fresh nonce
  EXPECT_EQ(unwrap(master, wrapped, as_bytes("task 1 round 3")).status().reason(),
            "key_not_opened");
  EXPECT_EQ(unwrap(secret_of(3), wrapped, as_bytes("task 1 round 2")).status().reason(),
            "key_not_opened");
  for (const std::size_t place : {std::size_t{0}, std::size_t{30}, wrapped.size() - 1}) {
    auto damaged = wrapped;
    damaged[place] ^= std::byte{1};
    EXPECT_FALSE(unwrap(master, damaged, as_bytes("task 1 round 2")).ok()) << place;
  }
  EXPECT_FALSE(
      unwrap(master, ConstBytes(wrapped).first(kWrappedBytes - 1), as_bytes("task 1 round 2"))
          .ok());
}

TEST(NoiseKey, ChangesWithEverythingItIsFor) {
  const std::vector<std::byte> ones(32, std::byte{1}), twos(32, std::byte{2});
  const auto key = [&](std::uint8_t master, std::uint32_t task, std::uint64_t round,
                       const std::vector<std::byte>& secret, const std::vector<std::byte>& digest) {
    return noise_key(secret_of(master),
                     {task, round, std::span<const std::byte, 32>(secret.data(), 32),
                      std::span<const std::byte, 32>(digest.data(), 32)})
        .value();
  };
  const Secret base = key(1, 1, 1, ones, ones);
  EXPECT_TRUE(equal(base, key(1, 1, 1, ones, ones)));
  EXPECT_FALSE(equal(base, key(2, 1, 1, ones, ones)));
  EXPECT_FALSE(equal(base, key(1, 2, 1, ones, ones)));
  EXPECT_FALSE(equal(base, key(1, 1, 2, ones, ones)));
  EXPECT_FALSE(equal(base, key(1, 1, 1, twos, ones)));
  EXPECT_FALSE(equal(base, key(1, 1, 1, ones, twos)));
}

TEST(MasterSecret, IsWrittenOnceAndReadBack) {
  SimulatedStorage storage(1);
  ASSERT_TRUE(create_master_secret(storage, "master").ok());
  const Secret secret = read_master_secret(storage, "master").value();
  EXPECT_TRUE(equal(secret, read_master_secret(storage, "master").value()));
  EXPECT_EQ(create_master_secret(storage, "master").reason(), "master_secret_exists");
  ASSERT_TRUE(write_file(storage, "short", as_bytes("00ff")).ok());
  EXPECT_EQ(read_master_secret(storage, "short").status().reason(), "master_secret_invalid");
  ASSERT_TRUE(write_file(storage, "long", as_bytes(std::string(66, 'a'))).ok());
  EXPECT_EQ(read_master_secret(storage, "long").status().reason(), "master_secret_invalid");
  EXPECT_FALSE(read_master_secret(storage, "absent").ok());
}

}  // namespace
}  // namespace muster::privacy
