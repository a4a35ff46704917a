// The part of ONNX Runtime's C++ interface that docs/phone.md uses, on the functions of the library.
//
// The library's table of functions keeps its order for ever: a version only adds at the end. So a
// function is found by its place, and this much can be declared without the library's own header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <utility>
#include <vector>

struct OrtBase {
    const void* const* (*table)(std::uint32_t version);
    const char* (*version)();
};
extern "C" const OrtBase* OrtGetApiBase();

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_WARNING = 2 };
enum OrtAllocatorType { OrtArenaAllocator = 1 };
enum OrtMemType { OrtMemTypeDefault = 0 };

namespace Ort {

constexpr std::uint32_t kVersion = 17;

// The function at a place; all return a status, which is null if all is well.
template <typename... Args>
void call(std::size_t place, Args... args) {
    const void* const* table = OrtGetApiBase()->table(kVersion);
    auto function = reinterpret_cast<void* (*)(Args...)>(const_cast<void*>(table[place]));
    if (void* status = function(args...)) {
        auto message = reinterpret_cast<const char* (*)(void*)>(const_cast<void*>(table[2]));
        std::cerr << message(status) << '\n';
        std::exit(1);
    }
}

struct Handle {
    void* it = nullptr;
};

struct Env : Handle {
    Env(OrtLoggingLevel level, const char* name) { call(3, static_cast<int>(level), name, &it); }
};

struct SessionOptions : Handle {
    SessionOptions() { call(10, &it); }
    void SetIntraOpNumThreads(int threads) { call(24, it, threads); }
};

struct MemoryInfo : Handle {
    static MemoryInfo CreateCpu(OrtAllocatorType allocator, OrtMemType kind) {
        MemoryInfo made;
        call(69, static_cast<int>(allocator), static_cast<int>(kind), &made.it);
        return made;
    }
};

struct TensorTypeAndShapeInfo : Handle {
    std::size_t GetElementCount() const {
        std::size_t count = 0;
        call(64, const_cast<const void*>(it), &count);
        return count;
    }
};

struct Value : Handle {
    template <typename Number>
    static Value CreateTensor(
        const MemoryInfo& memory, Number* data, std::size_t count, const std::int64_t* shape,
        std::size_t axes) {
        static_assert(sizeof(Number) == 1, "bytes alone are declared here");
        constexpr int kBytes = 2;
        Value made;
        call(49, const_cast<const void*>(memory.it), static_cast<void*>(data), count, shape, axes,
             kBytes, &made.it);
        return made;
    }
    template <typename Number>
    const Number* GetTensorData() const {
        void* data = nullptr;
        call(51, it, &data);
        return static_cast<const Number*>(data);
    }
    TensorTypeAndShapeInfo GetTensorTypeAndShapeInfo() const {
        TensorTypeAndShapeInfo made;
        call(65, const_cast<const void*>(it), &made.it);
        return made;
    }
};

struct RunOptions : Handle {
    explicit RunOptions(std::nullptr_t) {}
};

struct Session : Handle {
    Session(const Env& env, const char* path, const SessionOptions& options) {
        call(7, const_cast<const void*>(env.it), path, const_cast<const void*>(options.it), &it);
    }
    std::vector<Value> Run(
        const RunOptions& options, const char* const* inputs, const Value* values, std::size_t given,
        const char* const* outputs, std::size_t wanted) {
        std::vector<const void*> taken;
        for (std::size_t k = 0; k < given; ++k) taken.push_back(values[k].it);
        std::vector<void*> found(wanted, nullptr);
        call(9, it, const_cast<const void*>(options.it), inputs,
             const_cast<const void* const*>(taken.data()), given, outputs, wanted, found.data());
        std::vector<Value> result(wanted);
        for (std::size_t k = 0; k < wanted; ++k) result[k].it = found[k];
        return result;
    }
};

}  // namespace Ort
